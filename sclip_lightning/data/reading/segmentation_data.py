"""What all benchmarks share: from options to a data set that can be read. Imports torch only when one is."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from sclip_lightning.data.reading.benchmark import LONG_SIDE, Benchmark, ClassNames, Protocol
from sclip_lightning.data.reading.layout import Listing, check_files, expand
from sclip_lightning.data.reading.regions import SegmentMaps, without_maps
from sclip_lightning.errors import ConfigError, DataError

if TYPE_CHECKING:
    from sclip_lightning.data.reading.dataset import SegmentationDataset

__all__ = ["ROOT_VARIABLE", "SegmentationData"]

#: Environment variable that stands in for an empty ``root``.
ROOT_VARIABLE = "SCLIP_DATA_ROOT"


class SegmentationData(ABC):
    """A benchmark: its classes, where its files lie, and its samples.

    Nothing but the class file is read before ``setup``. Lightning reads it through ``engine.datamodule``.

    Args:
        root: Folder of the data set, or the folder above it; relative to the working directory, ``$VAR`` and ``~`` are
            filled in. Empty: the environment variable SCLIP_DATA_ROOT.
        classes: Prompt names instead of the published ones: the path of a class file (one class a line, synonyms split
            by commas), the name of a shipped one, or a list with one such line per class.
        short_side: Pixels that the short side of an image is resized to, 0 for the native size, null for the published
            value.
        num_samples: Use only the first N samples of the split; null uses all.
        batch_size: Samples per step. They may differ in size, so a batch is a list.
        num_workers: Processes that read samples; 0 reads in the main process.
        on_error: What to do about an image that cannot be read or scored: ``stop``, or ``skip`` it and say in
            the results that they are incomplete.
        regions: Folder with a segment map for each image, ``<name of its file>.npz`` or ``.png``, for parts that read
            some; ``$VAR`` and ``~`` are filled in.
        panoptic_regions: PNG segment maps hold colours that mean the number R + 256 G + 65536 B.
        resize_regions: Take nearest pixels of segment maps of another size than their image, which are an error else.

    Attributes:
        benchmark: Classes, prompt names and colours, the arguments (and what ``use`` brought) applied.
        classes: The argument.
        maps: The segment maps given, whether or not a part reads them; None without.
        short_side: The argument; ``resolved_short_side`` is the value in use.
        dataset: The samples; only after ``setup``.
        split_size: Number of samples in the whole split, of which ``num_samples`` may take fewer; only after ``setup``.

    Raises:
        ConfigError: A number is out of range.
        DataError: The class file cannot be used.
    """

    #: The benchmark as published.
    published: ClassVar[Benchmark]
    #: Names of arguments of a subclass that decide which files are read, or what their labels mean.
    choosing: ClassVar[tuple[str, ...]] = ()

    dataset: "SegmentationDataset"
    split_size: int
    _listing: Listing

    def __init__(
        self,
        root: str = "",
        classes: str | list[str] | None = None,
        short_side: int | None = None,
        num_samples: int | None = None,
        batch_size: int = 1,
        num_workers: int = 2,
        on_error: Literal["stop", "skip"] = "stop",
        regions: str | None = None,
        panoptic_regions: bool = False,
        resize_regions: bool = False,
    ) -> None:
        _check_minimum("short_side", short_side, 0)
        _check_minimum("num_samples", num_samples, 1)
        _check_minimum("batch_size", batch_size, 1)
        _check_minimum("num_workers", num_workers, 0)
        self.root = root
        self.classes = classes
        self.short_side = short_side
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.on_error = on_error
        self.maps = None if regions is None else SegmentMaps(expand(regions), panoptic_regions, resize_regions)
        self.benchmark = self.describe(classes)
        self._protocol = self.benchmark.protocol
        self._found: Listing | None = None

    def use(self, protocol: Protocol) -> None:
        """Take from a protocol what the arguments leave open: the short side of images, and the class file.

        It may be called again with another protocol, as long as no image has been read.
        """
        self._protocol = protocol
        if self.classes is None:
            named = protocol.class_file
            prompts = self.describe(None).prompts if named is None else ClassNames.shipped(named)
            self.benchmark = replace(self.benchmark, prompts=prompts)  # keeps what setup notes on the number of images

    @property
    def resolved_short_side(self) -> int:
        """Pixels that the short side of images is resized to: the argument, else the protocol's; 0 for their own size.

        Raises:
            ConfigError: Neither was given.
        """
        if self.short_side is not None:
            return self.short_side
        if self._protocol is None:
            msg = (
                f"No short side is given for the images of {self.benchmark.name}, and no protocol that has one. Set "
                "--data.short_side (short_side=... in Python), or call use() of the data with a protocol."
            )
            raise ConfigError(msg)
        return self._protocol.short_side

    @property
    def resolved_long_side(self) -> int:
        """Most pixels that the long side of images may have: the protocol's, unless a short side was given."""
        return LONG_SIDE if self.short_side is not None or self._protocol is None else self._protocol.long_side

    def describe(self, classes: str | list[str] | None) -> Benchmark:
        """The benchmark as published, with the prompt names given instead of the published ones."""
        return self.published if classes is None else replace(self.published, prompts=ClassNames.load(classes))

    def renamed(self, classes: str | list[str] | None) -> "SegmentationData":
        """The same data under other prompt names; what is known of files, images and settings is shared.

        Args:
            classes: As the argument of the same name; for own data the classes keep what they are called.

        Raises:
            DataError: The names cannot be used, or are for another number of classes.
        """
        twin = copy(self)
        twin.classes = classes
        twin.benchmark = replace(self.benchmark, prompts=self.describe(classes).prompts)
        if self._protocol is not None:
            twin.use(self._protocol)
        return twin

    @abstractmethod
    def find_files(self, root: str) -> Listing:
        """Find the split on disk.

        Args:
            root: The data set's folder or the one above it.

        Raises:
            DataError: Folders or lists are missing.
        """

    def listing(self) -> Listing:
        """Find the split below the root that is given.

        Raises:
            DataError: The root is not given, or folders or lists are missing in it.
        """
        root = self._root()
        if not root:
            msg = (
                f"No folder is given for {self.benchmark.name}: --data.root and the environment variable "
                f"{ROOT_VARIABLE} are both empty. Set one of them to the data set's folder."
            )
            raise DataError(msg)
        return self.find_files(root)

    def prepare(self) -> None:  # noqa: B027  most data are there
        """Make what is not there yet; called in one process for all before any looks for files."""

    def find(self) -> None:
        """Find the split before anything else is done; the next ``setup`` need not look for it again.

        Raises:
            DataError: The root is not given, or folders, lists or files are missing in it.
        """
        listing = self.listing()
        if problems := listing.problems():
            raise DataError(problems[0])
        self._found = listing

    def setup(self, check: bool = True) -> None:
        """Find the samples, and check their files before any of them is read.

        Args:
            check: Check all files now. Otherwise they are left to ``check_files``, once it is known which are still to
                be read.

        Raises:
            DataError: The root is not given, or something in it is missing, unreadable or not as expected.
        """
        from sclip_lightning.data.reading.dataset import SegmentationDataset

        if self._found is None:
            self.find()
        listing, self._found = self._found, None
        assert listing is not None  # find() has left it, or raised
        files = listing.samples()
        self.split_size = len(files)
        if self.benchmark.images not in (None, len(files)):
            note = f"The split has {len(files)} images here, but {self.benchmark.images} as published."
            self.benchmark = replace(self.benchmark, notes=tuple(dict.fromkeys((*self.benchmark.notes, note))))
        files = files[: self.num_samples]
        self._listing = listing
        self.dataset = SegmentationDataset(files, None, listing.label_map, skip_errors=self.on_error == "skip")
        if self.short_side is not None or self._protocol is not None:
            self.set_pipeline()
        if check:
            self.check_files(range(len(files)))

    def set_pipeline(self) -> None:
        """Have images resized as arguments and protocol say by now; ``use`` may have come after ``setup``.

        Raises:
            ConfigError: Neither says so.
        """
        from sclip_lightning.data.reading.transforms import image_pipeline

        self.dataset.pipeline = image_pipeline(self.resolved_short_side, self.resolved_long_side)

    def check_files(self, indices: Iterable[int]) -> None:
        """Read the headers of some samples' files, unless bad ones are to be skipped.

        Raises:
            DataError: As :func:`~sclip_lightning.data.reading.layout.check_files` does.
        """
        if self.on_error == "stop":
            check_files([self.dataset.files[index] for index in indices], self.dataset.maps)

    def read_regions(self, readers: Sequence[str]) -> None:
        """Read segment maps with every image from now on, for parts that ask for them; only after ``setup``.

        Args:
            readers: Names of the parts; without any, no maps are read.

        Raises:
            ConfigError: There are such parts, but no folder was given.
            DataError: There is no such folder, or two images would get the same map.
        """
        self.dataset.maps = self.maps_for(readers)
        if self.dataset.maps is not None:
            self.dataset.maps.check_names(files.map_names for files in self._listing.samples())

    def maps_for(self, readers: Sequence[str]) -> SegmentMaps | None:
        """The segment maps that parts read, None without such parts; errors as of :meth:`read_regions`."""
        if not readers:
            return None
        if self.maps is None:
            raise without_maps(readers, "--data.regions")
        self.maps.check_folder()
        return self.maps

    def describe_data(self) -> dict[str, str]:
        """What is read besides images, one entry per choice, wherever the files lie; only after ``setup``.

        It belongs to the protocol of a run: with other choices, or other segment maps, it would be another one.

        Raises:
            DataError: A segment map of the split cannot be read.
        """
        maps, names = self.dataset.maps, [files.map_names for files in self._listing.samples()]
        regions = {**maps.describe(), "regions_sha256": maps.checksum(names)[:12]} if maps else {}
        return {
            "data": type(self).__name__,
            **{f"data.{name}": self._show(getattr(self, name)) for name in self.choosing},
            "ground_truth": self._listing.form,
            "label_map_sha256": self._listing.label_map.sha256[:12],
            **regions,
        }

    def _show(self, value: object) -> str:
        """An argument in words; a path below the root is the same wherever the root lies."""
        if isinstance(value, str) and os.path.isabs(value) and self._root():  # noqa: PTH117
            with suppress(ValueError):
                return Path(value).relative_to(expand(self._root()).absolute()).as_posix()
        return "none" if value is None else str(value)

    def _root(self) -> str:
        return self.root or os.environ.get(ROOT_VARIABLE, "")


def _check_minimum(option: str, value: int | None, minimum: int) -> None:
    if value is not None and value < minimum:
        msg = f"--data.{option} is {value}, but must be at least {minimum}. Give another number."
        raise ConfigError(msg)
