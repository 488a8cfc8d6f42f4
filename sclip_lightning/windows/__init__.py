"""Windows over an image: where they lie, what travels through them, and how their logits become one map.

The lowest room of the model. It holds the records that go from step to step (:class:`Scene`, :class:`Windows`,
:class:`Tokens`, :class:`Sheet`) and what a step must offer (:class:`Decoder`, :class:`SheetStep`, :class:`MapStep`),
and knows nothing of any network or method.
"""

from sclip_lightning.windows.extent import Extent
from sclip_lightning.windows.grid import WindowGrid, check_sliding_window, window_grid
from sclip_lightning.windows.merge import MergedLogits
from sclip_lightning.windows.precision import full_float32
from sclip_lightning.windows.resized import ResizedMaps
from sclip_lightning.windows.scene import Scene, Texts, Windows, nearest
from sclip_lightning.windows.sheet import Sheet, Tokens, compare_with_texts
from sclip_lightning.windows.steps import Decoder, MapStep, Part, SheetStep, Step, WindowDecoder

__all__ = [
    "Decoder",
    "Extent",
    "MapStep",
    "MergedLogits",
    "Part",
    "ResizedMaps",
    "Scene",
    "Sheet",
    "SheetStep",
    "Step",
    "Texts",
    "Tokens",
    "WindowDecoder",
    "WindowGrid",
    "Windows",
    "check_sliding_window",
    "compare_with_texts",
    "full_float32",
    "nearest",
    "window_grid",
]
