"""``python -m sclip_lightning`` is the ``sclip`` command."""

from sclip_lightning.cli import main

if __name__ == "__main__":
    main()
