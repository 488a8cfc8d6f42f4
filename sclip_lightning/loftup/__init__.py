"""LoftUp (Huang et al., ICCV 2025, arXiv 2504.14032): feature upsampling guided by the image."""

from sclip_lightning.loftup.checkpoint import HubFile, load_loftup
from sclip_lightning.loftup.network import LoftUp
from sclip_lightning.loftup.upsample import LogitUpsampler, UpsamplingMode, affinity_logits, direct_logits

__all__ = ["HubFile", "LoftUp", "LogitUpsampler", "UpsamplingMode", "affinity_logits", "direct_logits", "load_loftup"]
