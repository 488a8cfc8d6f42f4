"""Training-free open-vocabulary segmentation: evaluate it with PyTorch Lightning, or use it on any image."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sclip_lightning.prediction import Prediction
    from sclip_lightning.segmentor import Segmentor

__all__ = ["Prediction", "Segmentor"]

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """Import the public classes when they are first used: ``sclip --help`` need not wait for torch."""
    if name == "Segmentor":
        from sclip_lightning.segmentor import Segmentor

        return Segmentor
    if name == "Prediction":
        from sclip_lightning.prediction import Prediction

        return Prediction
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
