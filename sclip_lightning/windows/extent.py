"""How large what is computed for one image becomes: what the parts say beforehand of the memory they take."""

from dataclasses import dataclass

__all__ = ["Extent"]


@dataclass(frozen=True)
class Extent:
    """Sizes that are known before anything is computed.

    Attributes:
        queries: Q, names of all classes.
        classes: C.
        pixels: Of the maps that refiners of maps work on.
        network_pixels: Of the network's input.
        window_pixels: Of one window.
    """

    queries: int
    classes: int
    pixels: int
    network_pixels: int
    window_pixels: int
