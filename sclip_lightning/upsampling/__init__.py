"""LoftUp (Huang et al., ICCV 2025, arXiv 2504.14032): feature upsampling guided by the image."""

from sclip_lightning.upsampling.loftup import LogitUpsampler, UpsamplingMode, affinity_logits, direct_logits
from sclip_lightning.upsampling.networks.loftup import LoftUp
from sclip_lightning.upsampling.networks.loftup_weights import HubFile, load_loftup

__all__ = ["HubFile", "LoftUp", "LogitUpsampler", "UpsamplingMode", "affinity_logits", "direct_logits", "load_loftup"]
