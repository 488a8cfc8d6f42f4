"""Callbacks: whatever a test run leaves behind besides its scores."""

from sclip_lightning.engine.callbacks.announcer import Announcer
from sclip_lightning.engine.callbacks.config_writer import ConfigWriter
from sclip_lightning.engine.callbacks.followers import Followers
from sclip_lightning.engine.callbacks.panels import SamplePanels
from sclip_lightning.engine.callbacks.predictions import PredictionWriter
from sclip_lightning.engine.callbacks.ranked_panels import RankedPanels
from sclip_lightning.engine.callbacks.result_writer import ResultWriter
from sclip_lightning.engine.callbacks.tensorboard import TensorBoardReport

__all__ = [
    "Announcer",
    "ConfigWriter",
    "Followers",
    "PredictionWriter",
    "RankedPanels",
    "ResultWriter",
    "SamplePanels",
    "TensorBoardReport",
]
