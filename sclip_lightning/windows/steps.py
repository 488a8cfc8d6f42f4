"""What a step on the way from windows to labels must offer: the seams that methods are written to.

Every part is a frozen dataclass of numbers. It holds no tensors and no networks: those it needs it names, and finds in
``scene.networks``, so that a part can be described, compared and switched without loading anything.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

from torch import Tensor, nn

from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import check_numbers
from sclip_lightning.windows.extent import Extent
from sclip_lightning.windows.scene import Scene
from sclip_lightning.windows.sheet import Sheet, Tokens

__all__ = ["Decoder", "MapStep", "Part", "SheetStep", "Step", "WindowDecoder", "check_order"]

#: What a step works on, in the order in which these exist: logits on the cells of the decoder's windows, logits on any
#: cells, then whole maps.
Place = Literal["tokens", "sheet", "logits", "probabilities", "labels"]
#: What tokens may come with besides their features.
Extra = Literal["class_token", "values"]

PLACES: tuple[Place, ...] = ("tokens", "sheet", "logits", "probabilities", "labels")

P = TypeVar("P", bound="Part")


class Part:
    """A part of a segmentor; subclasses are frozen dataclasses of numbers.

    Every number has its range in its field's type (``Annotated[float, above(0)]``) and is held against it when the part
    is made. A subclass with more to check calls ``super().__post_init__()`` first.

    Attributes:
        option: The option that holds such a part, for messages.
        reads_regions: Whether it needs ``scene.regions``: images then come with their segment maps, or are refused.
    """

    option: ClassVar[str] = ""
    reads_regions: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Raise ConfigError where a number is outside its range."""
        check_numbers(self, self.option)

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks that it needs besides CLIP's tower."""
        return ()

    def load_network(self, name: str, width: int) -> nn.Module:
        """Load one of ``networks``, on the CPU, in eval mode.

        Args:
            name: Which.
            width: E, channels of CLIP's text space.
        """
        raise NotImplementedError(name)

    def source(self, name: str) -> Hashable:
        """What one of ``networks`` is loaded from: parts that say the same share it.

        By default what its fields ``network`` and ``weights`` name; without the first, its kind counts.
        """
        return getattr(self, "network", None) or (type(self), name), getattr(self, "weights", None)

    def settled(self: P) -> P:
        """The same part with every choice spelled out that it makes by itself; itself by default."""
        return self

    def fitted(self: P, depth: int, patch_size: tuple[int, int]) -> P:
        """The same part with the numbers that depend on CLIP's tower; itself by default.

        Args:
            depth: Number of the tower's blocks.
            patch_size: Height and width of a patch in pixels; for a sheet step, of the decoder's cells.

        Raises:
            ConfigError: It does not fit the tower.
        """
        del depth, patch_size
        return self

    def memory(self, extent: Extent) -> int:
        """Bytes that surely exist at once while it works, the maps it is given included; only what grows with these.

        An image for which there are not so many is refused before anything is computed; 0, the default, refuses none.

        Args:
            extent: How large things are.
        """
        del extent
        return 0


class Decoder(Part, ABC):
    """Turns an image's windows into tokens that can be compared with texts.

    Attributes:
        gives: What its tokens come with besides features; a step that needs what is missing is refused.
    """

    option = "--model.decoder"

    gives: ClassVar[tuple[Extra, ...]] = ("class_token", "values")

    @property
    def reads_texts(self) -> bool:
        """Whether its tokens depend on ``scene.texts``; where they do not they are kept for other texts."""
        return True

    def cell_size(self, networks: Mapping[str, Any]) -> tuple[int, int]:
        """Height and width in pixels of the cells that its tokens lie on; patches of CLIP's tower by default.

        Args:
            networks: All that are loaded, by name.
        """
        height, width = networks["clip"].patch_size
        return height, width

    @abstractmethod
    def decode(self, scene: Scene, keep_values: bool = False) -> Tokens:
        """Decode all windows of an image.

        Args:
            scene: The image. CLIP's tower in ``scene.networks["clip"]`` may run under autocast.
            keep_values: Give the values of the last block, too, for a step that wants them.
        """


class WindowDecoder(Decoder):
    """A decoder that looks at each window by itself."""

    def decode(self, scene: Scene, keep_values: bool = False) -> Tokens:
        """Decode all windows of an image, chunk by chunk."""
        return Tokens.join([self.decode_windows(chunk, scene, keep_values) for chunk in scene.windows.chunks()])

    @abstractmethod
    def decode_windows(self, pixels: Tensor, scene: Scene, keep_values: bool) -> Tokens:
        """Decode some windows.

        Args:
            pixels: [B, 3, a, b] float32, the windows.
            scene: The image that they belong to, for its texts and networks.
            keep_values: As for :meth:`Decoder.decode`.

        Returns:
            Tokens of B windows under the grid of all.
        """


class Step(Part, ABC):
    """Changes what segmenting an image has come to: logits before or after they are merged, probabilities or labels.

    Attributes:
        works_on: What it changes.
    """

    option = "--model.refiners"

    works_on: ClassVar[Place]


class SheetStep(Step):
    """Changes logits before they are merged.

    Attributes:
        works_on: ``tokens``, the cells of the decoder's tokens, or ``sheet``, whatever cells there are.
        keeps_cosines: Whether its logits can be read as the cosines they come from: thresholds are made for these.
    """

    works_on: ClassVar[Place] = "sheet"
    keeps_cosines: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[Extra, ...]:
        """What it reads of the tokens besides their features."""
        return ()

    @abstractmethod
    def __call__(self, sheet: Sheet, scene: Scene) -> Sheet:
        """Change a sheet.

        Args:
            sheet: [W, r, c, Q] float32 logits; left alone.
            scene: The image.

        Returns:
            Logits of the same queries. Rows and columns may be others, and the grid may have become one window that is
            the whole image. Networks may run under autocast; everything else is float32.
        """


class MapStep(Step):
    """Changes whole maps, at the output size or that to which ``--model.refine_side`` bounds it: a refiner.

    Attributes:
        works_on: The segmentor's ``logits`` [Q, H, W], before the head; class ``probabilities`` [C, H, W], after it; or
            ``labels`` [H, W].
    """

    @abstractmethod
    def __call__(self, maps: Tensor, scene: Scene) -> Tensor:
        """Change maps.

        Args:
            maps: Float32 logits or probabilities, or int64 labels; left alone.
            scene: The image: ``pixels`` are the network's input, ``rgb`` the image itself, ``regions`` its segments.
                Of a photograph that is refined at a smaller size, maps, ``output_size``, ``rgb`` and ``regions`` have
                that size; labels and what comes with them never.

        Returns:
            The same shape and dtype.
        """


def check_order(steps: Sequence[Any]) -> None:
    """Raise ConfigError where a step follows one whose input is made from its output."""
    order = [PLACES.index(step.works_on) for step in steps]
    if order != sorted(order):
        names = ", ".join(f"{type(step).__name__} ({step.works_on})" for step in steps)
        msg = f"--model.refiners are {names}: those of {', '.join(PLACES)} come in this order. Reorder them."
        raise ConfigError(msg)
