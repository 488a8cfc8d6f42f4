"""The app as a Hugging Face Space; ``SCLIP_APP`` in the Space's variables holds arguments of ``sclip app``."""

import os
import shlex

from sclip_lightning.commands import app

ARGUMENTS = shlex.split(os.environ.get("SCLIP_APP", ""))

if __name__ == "__main__":
    # A Space is reached from outside, and expects the page on this port.
    app.run_app(["--host=0.0.0.0", "--port=7860", *ARGUMENTS])
