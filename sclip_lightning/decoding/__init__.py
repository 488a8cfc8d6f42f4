"""From a window's pixels to tokens that can be compared with texts: one file a mechanism.

A formula is a row of the table in :mod:`attention <sclip_lightning.decoding.attention>`, run by :class:`LastBlock`; a
mechanism is a file.
"""

from sclip_lightning.decoding.attention import Attention, NeighbourAttention
from sclip_lightning.decoding.class_share import ClassTokenShare
from sclip_lightning.decoding.corrclip import CorrCLIP
from sclip_lightning.decoding.feedback import SemanticFeedback
from sclip_lightning.decoding.glaclip import GLACLIP
from sclip_lightning.decoding.last_block import LastBlock
from sclip_lightning.decoding.ovstitcher import OVStitcher
from sclip_lightning.decoding.pearl import ProcrustesAttention
from sclip_lightning.decoding.presence import PresencePrior
from sclip_lightning.decoding.proxyclip import ProxyCLIP
from sclip_lightning.decoding.residual import ResidualAttention
from sclip_lightning.decoding.scclip import SCCLIP

__all__ = [
    "GLACLIP",
    "SCCLIP",
    "Attention",
    "ClassTokenShare",
    "CorrCLIP",
    "LastBlock",
    "NeighbourAttention",
    "OVStitcher",
    "PresencePrior",
    "ProcrustesAttention",
    "ProxyCLIP",
    "ResidualAttention",
    "SemanticFeedback",
]
