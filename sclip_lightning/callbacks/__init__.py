"""Callbacks: whatever a test run leaves behind besides its scores."""

from sclip_lightning.callbacks.config_writer import ConfigWriter
from sclip_lightning.callbacks.panels import SamplePanels
from sclip_lightning.callbacks.predictions import PredictionWriter
from sclip_lightning.callbacks.ranked_panels import RankedPanels
from sclip_lightning.callbacks.result_writer import ResultWriter
from sclip_lightning.callbacks.tensorboard import TensorBoardReport

__all__ = ["ConfigWriter", "PredictionWriter", "RankedPanels", "ResultWriter", "SamplePanels", "TensorBoardReport"]
