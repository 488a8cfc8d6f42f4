"""All parts. Importing this makes their short names known to the command line: ``--model.upsampler LoftUp``."""

import sclip_lightning.decoding
import sclip_lightning.refine
import sclip_lightning.upsampling

__all__ = ["DEFAULTS", "ROOMS"]

#: The rooms whose exports are parts.
ROOMS = (sclip_lightning.decoding, sclip_lightning.upsampling, sclip_lightning.refine)

#: What ``--model.decoder.attention`` and the like mean unless another decoder is named.
DEFAULTS = {"model.decoder": {"class_path": "sclip_lightning.decoding.LastBlock"}}
