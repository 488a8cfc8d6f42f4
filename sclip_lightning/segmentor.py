"""Open-vocabulary segmentation of single images: any image, any classes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sclip_lightning.data.reading.images import ImageInput, RegionsInput
from sclip_lightning.data.reading.prepared import PreparedImage, prepared_image
from sclip_lightning.data.reading.several import check_maps, check_several, one_by_one
from sclip_lightning.errors import ConfigError
from sclip_lightning.files import cache_folder
from sclip_lightning.model.assembly import build_segmentor, load_networks
from sclip_lightning.model.devices import PrecisionChoice, autocast_type, find_device, resolve_precision
from sclip_lightning.model.likeness import alike
from sclip_lightning.model.memory import memory_for
from sclip_lightning.model.needs import check_memory
from sclip_lightning.model.negatives import choose_words
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.recall import Recall
from sclip_lightning.model.settings import Settings, check_options, resolve
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.prediction import Prediction
from sclip_lightning.ranges import at_least, check_number
from sclip_lightning.towers import build_text_bank, load_clip
from sclip_lightning.towers.compiled import check_compiler
from sclip_lightning.towers.text import resolve_templates
from sclip_lightning.vocabulary import Classes, Vocabulary
from sclip_lightning.windows import Texts

__all__ = ["Background", "Segmentor"]

#: Segmentors that are kept ready, one per list of classes; each holds little more than its text embeddings.
VOCABULARIES = 16
#: Options of CLIP, which segmentors share that differ in others.
_SHARED = ("architecture", "weights", "compile")
#: What a background can be given as: none, that of the published words, ``"auto"``, or words.
Background = bool | str | Sequence[str]


class Segmentor:
    """Segments images into classes named in words, with the same arithmetic as ``sclip test``.

    ``Segmentor.from_pretrained()`` loads published weights; then any image goes with any classes::

        prediction = segmentor.predict("photo.jpg", "cat, grass=lawn|meadow, sky")

    Args:
        options: The parts and their numbers.
        short_side: Pixels that the short side of images is resized to, 0 for their own size, None for the published
            value: 336 for own classes, that of the protocol for a benchmark's.
        device: ``"auto"`` (the first GPU, the CPU without one) or a torch device.
        precision: That of the networks. ``"auto"`` takes ``"bf16-mixed"`` where the hardware computes in bfloat16, else
            ``"32-true"``; the attribute of this name says which.
        recall: Keeps features of images, so that the same image with other classes or another threshold needs no
            network again; for one thread at a time. None keeps nothing.
        cache: Folder that embeddings of names are kept in; None for the user's cache.
        embed: Calls what embeds names; several processes that are to have the same bits call it in one of them.

    Raises:
        ConfigError: Options that do not go together, or a device that is not there.
        CheckpointError: Weights that cannot be found, read or fitted.
    """

    def __init__(
        self,
        options: SegmentorOptions,
        *,
        short_side: int | None = None,
        device: str | torch.device = "auto",
        precision: PrecisionChoice = "32-true",
        recall: Recall | None = None,
        cache: Path | None = None,
        embed: Callable[[Callable[[], Texts]], Texts] = lambda make: make(),
    ) -> None:
        if short_side is not None:
            check_number(short_side, at_least(0, whole=True), "short_side")
        self.options = options
        self.short_side = short_side
        self.device = find_device(device)
        self.precision, _ = resolve_precision(precision, self.device)
        self._autocast = autocast_type(self.precision, self.device)
        self._embed = embed
        self.recall = recall
        self._cache = cache
        if options.compile:
            check_compiler(self.device)
        self.clip = load_clip(options.architecture, options.weights)
        self.clip.model.to(self.device)
        self._networks = load_networks(self.clip, options.parts, compiled=options.compile)
        self._fitted = lru_cache(VOCABULARIES)(self._fit)
        self._chosen = lru_cache(VOCABULARIES)(self._choose)

    @classmethod
    def from_pretrained(
        cls,
        architecture: str = "ViT-B-16-quickgelu",
        weights: str | None = "openai",
        *,
        short_side: int | None = None,
        device: str | torch.device = "auto",
        precision: PrecisionChoice = "32-true",
        **options: Any,
    ) -> "Segmentor":
        """Load a segmentor.

        Args:
            architecture: open_clip model name, or ``local-dir:FOLDER`` with an ``open_clip_config.json`` inside.
            weights: A tag of open_clip (downloaded once), the path of a checkpoint, or None for random weights.
            short_side: See :class:`Segmentor`.
            device: See :class:`Segmentor`.
            precision: See :class:`Segmentor`.
            options: Any of :class:`~sclip_lightning.model.options.SegmentorOptions`, such as
                ``decoder=LastBlock("naclip", rcs=True)``, ``upsampler=LoftUp()`` or ``refiners=[DenseCRF()]``: what the
                command line calls ``--model.*``.

        Raises:
            ConfigError: An unknown option, options that do not go together, or a device that is not there.
            CheckpointError: Weights that cannot be found, read or fitted.
        """
        chosen = SegmentorOptions.of(architecture=architecture, weights=weights, **options)
        return cls(chosen, short_side=short_side, device=device, precision=precision)

    def changed(self, **options: Any) -> "Segmentor":
        """A segmentor with other options, which shares CLIP, kept features and those networks that it needs, too.

        Args:
            options: As for :meth:`from_pretrained`, but for ``architecture``, ``weights`` and ``compile``.

        Raises:
            ConfigError: Options that do not go together.
            CheckpointError: Weights of a part that cannot be found, read or fitted.
        """
        twin = copy(self)
        twin.options = replace(self.options, **options)
        if any(getattr(twin.options, name) != getattr(self.options, name) for name in _SHARED):
            msg = "Architecture, weights and compile cannot be changed, for CLIP is shared: load another segmentor."
            raise ConfigError(msg)
        known = {part.source(name): self._networks[name] for part in self.options.parts for name in part.networks}
        twin._networks = load_networks(self.clip, twin.options.parts, known) | {"clip": self._networks["clip"]}
        twin._fitted = lru_cache(VOCABULARIES)(twin._fit)
        twin._chosen = lru_cache(VOCABULARIES)(twin._choose)
        return twin

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a Sequence[str], and is one image
        self,
        image: ImageInput | PreparedImage,
        classes: Classes | Vocabulary,
        background: Background = False,
        regions: RegionsInput | None = None,
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        image: Sequence[ImageInput],
        classes: Classes | Vocabulary,
        background: Background = False,
        regions: Sequence[RegionsInput] | None = None,
    ) -> list[Prediction]: ...

    def predict(
        self,
        image: ImageInput | PreparedImage | Sequence[ImageInput],
        classes: Classes | Vocabulary,
        background: Background = False,
        regions: Any = None,
    ) -> Prediction | list[Prediction]:
        """Segment one image, or each of several by itself.

        Args:
            image: A path, a PIL image, a numpy array [H, W, 3] uint8 or a tensor [3, H, W] uint8, all RGB; see
                :func:`~sclip_lightning.data.reading.images.to_rgb`. Or a list of such, of any sizes: the predictions
                then come in its order, each with the labels that its image would get alone. For more than memory
                holds, see :meth:`predict_each`. Or what :meth:`prepare` made of one image for
                these classes, its segment map included.
            classes: A text such as ``"cat, grass=lawn|meadow, sky"``, a list of names, or a mapping from name to
                synonyms; see :meth:`Vocabulary.parse`. Their embeddings are kept in memory and on disk.
            background: Add a class 0 for whatever is none of the classes: True for the published words, ``"auto"`` for
                those of :meth:`background_words`, or words of yours; see :meth:`Vocabulary.with_background`.
            regions: The image's segment map, for parts that read one; see
                :func:`~sclip_lightning.data.reading.images.to_segments`. For several images a list of such.

        Raises:
            DataError: No image, one so narrow that less than a patch of it is left, or one that there is too little
                memory for; a segment map that cannot be read or is of another size.
            ConfigError: Classes that cannot be told apart, a threshold without a background, or no segment map where a
                part reads one.
        """
        vocabulary = self.vocabulary(classes, background)
        if isinstance(image, PreparedImage):
            if regions is not None:
                msg = "A prepared image has the segment map that it was prepared with: give regions to prepare."
                raise ConfigError(msg)
            check_maps(self.options.region_readers, image.regions)
            return self._segment(image, vocabulary)
        if isinstance(image, str) or not isinstance(image, Sequence):
            check_maps(self.options.region_readers, regions)
            return self._predict(image, vocabulary, regions)
        # What class maps are made of takes far more memory than labels: the images are segmented again for them.
        maps: list[Any] = [None] * len(image) if regions is None else list(regions)
        return [
            replace(prediction, _class_maps=partial(self._class_maps_of, prediction.image, vocabulary, one))
            for prediction, one in zip(self.predict_each(image, vocabulary, regions=regions), maps, strict=True)
        ]

    def predict_each(
        self,
        images: Iterable[ImageInput],
        classes: Classes | Vocabulary,
        background: Background = False,
        regions: Iterable[RegionsInput] | None = None,
    ) -> Iterator[Prediction]:
        """Segment any number of images one after the other, each when its prediction is asked for.

        Nothing of an image is kept here once the next is asked for.

        Args:
            images: As for :meth:`predict`; may be a generator.
            classes: Likewise.
            background: Likewise.
            regions: One for each image; may be a generator.

        Raises:
            DataError: As :meth:`predict`, when it comes to the image; or a single image instead of several, or more or
                fewer segment maps than images.
            ConfigError: At once, as :meth:`predict`.
        """
        check_several(images)
        vocabulary = self.vocabulary(classes, background)
        check_maps(self.options.region_readers, regions)
        self._fitted(vocabulary)
        return one_by_one(images, regions, lambda image, one: self._predict(image, vocabulary, one))

    def _class_maps_of(
        self, rgb: npt.NDArray[np.uint8], vocabulary: Vocabulary, regions: RegionsInput | None
    ) -> Tensor:
        return self._predict(rgb, vocabulary, regions)._class_maps()

    def prepare(
        self,
        image: ImageInput,
        classes: Classes | Vocabulary,
        background: Background = False,
        regions: RegionsInput | None = None,
    ) -> PreparedImage:
        """Do what :meth:`predict` does before the network; a thread may, for the next image.

        Args:
            image: As for :meth:`predict`, one image.
            classes: Likewise, since short sides of benchmarks differ.
            background: Likewise.
            regions: Likewise.

        Raises:
            DataError: As :meth:`predict`, but for memory.
            ConfigError: As :meth:`predict`.
        """
        check_maps(self.options.region_readers, regions)
        return self._prepare(image, self.vocabulary(classes, background), regions)

    def _prepare(self, image: ImageInput, vocabulary: Vocabulary, regions: RegionsInput | None) -> PreparedImage:
        model, settings = self._fitted(vocabulary)
        protocol, read = settings.protocol, regions if self.options.region_readers else None
        return prepared_image(image, read, protocol.short_side, protocol.long_side, model.tower.patch_size)

    def _predict(self, image: ImageInput, vocabulary: Vocabulary, regions: RegionsInput | None) -> Prediction:
        return self._segment(self._prepare(image, vocabulary, regions), vocabulary)

    @torch.no_grad()
    def _segment(self, image: PreparedImage, vocabulary: Vocabulary) -> Prediction:
        model, settings = self._fitted(vocabulary)
        rgb, size = image.rgb, (image.rgb.shape[0], image.rgb.shape[1])
        autocast = torch.autocast(self.device.type, dtype=self._autocast, enabled=self._autocast is not None)
        names = len(model.queries), len(vocabulary.names)
        check_memory(image.source, size, names, self.options, settings, self.device)
        with memory_for(image.source, size, self.options), autocast:
            native = torch.from_numpy(rgb).permute(2, 0, 1).to(self.device)
            regions = None if image.regions is None else image.regions.to(self.device)
            segmentation = model.predict(image.pixels.to(self.device), size, native, regions)
        few = len(vocabulary.names) <= 256
        labels = segmentation.labels.to("cpu", torch.uint8 if few else torch.int32)
        segmentation = replace(segmentation, labels=labels)  # so that those of 8 bytes a pixel are not kept
        return Prediction(
            labels.numpy() if few else labels.numpy().astype(np.uint16),
            vocabulary.names,
            vocabulary.palette,
            rgb,
            vocabulary.has_background,
            lambda: segmentation.probabilities,
        )

    def vocabulary(self, classes: Classes | Vocabulary, background: Background = False) -> Vocabulary:
        """The classes in full: names, synonyms and colours; arguments as :meth:`predict`."""
        words = self.background_words(classes) if background == "auto" else background
        if isinstance(words, str):
            msg = f"background is {words!r}; expected True, False, 'auto', or a list of words."
            raise ConfigError(msg)
        if not isinstance(classes, Vocabulary):
            return Vocabulary.parse(classes, words)
        return classes if words is False else classes.with_background(None if words is True else words)

    def background_words(self, classes: Classes | Vocabulary) -> tuple[str, ...]:
        """Up to 64 words for scenes that this CLIP does not take for any of the classes (cosines below 0.9).

        A subset, or other words, may be given as ``background`` instead.

        Args:
            classes: As :meth:`predict`; a background that was added to a vocabulary is none of them.

        Raises:
            ConfigError: Classes that cannot be told apart or have a background of their own, or no word is left.
        """
        added = isinstance(classes, Vocabulary) and classes.background_added
        # With a background of any words, since one class beside it is enough.
        vocabulary = self.vocabulary(classes, background=not added)
        return self._chosen(vocabulary.synonyms[1:])

    def _choose(self, synonyms: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
        folder, templates = self._cache or cache_folder(), resolve_templates(self.options.templates)
        return choose_words(self.clip, synonyms, templates, self.device, folder, self._embed)

    def sliding_window(self, vocabulary: Vocabulary) -> SlidingWindowSegmentor:
        """The segmentor for these classes that works on normalised tensors; kept for the classes used last."""
        return self._fitted(vocabulary)[0]

    def settings(self, vocabulary: Vocabulary) -> Settings:
        """All numbers that count for these classes."""
        return self._fitted(vocabulary)[1]

    def alike(self, vocabulary: Vocabulary) -> list[tuple[str, str]]:
        """Pairs of names of different classes whose embeddings are nearly equal: which one wins is rounding noise."""
        return alike(self.sliding_window(vocabulary), vocabulary.synonyms)

    def _fit(self, vocabulary: Vocabulary) -> tuple[SlidingWindowSegmentor, Settings]:
        check_options(self.options, vocabulary)
        settings = resolve(self.options, vocabulary, self.short_side)
        folder = self._cache or cache_folder()
        texts = self._embed(
            lambda: build_text_bank(self.clip, vocabulary.synonyms, settings.templates, self.device, folder)
        )
        return build_segmentor(self._networks, texts, settings, self.recall).to(self.device), settings
