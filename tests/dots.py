"""TensorBoard's pictures as dots: a sixth of a tiny run's time, where nobody looks at its event files."""

from contextlib import contextmanager

import numpy as np
import pytest

__all__ = ["dots_for_pictures"]


@contextmanager
def dots_for_pictures():
    """No run inside draws pictures for TensorBoard."""
    dot = np.zeros((1, 1, 3), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_bars", "draw_confusion"):
            patch.setattr(f"sclip_lightning.engine.callbacks.tensorboard.{name}", lambda *_: dot)
        patch.setattr("sclip_lightning.pictures.bars.draw_classes", lambda *_: dot)
        yield
