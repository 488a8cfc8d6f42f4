"""The demo's benchmark: test scenes, drawn at first use and kept in the layout of PASCAL VOC."""

import hashlib
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import PIL
from PIL import Image
from tqdm import tqdm

from sclip_lightning.data.reading.benchmark import Benchmark, ClassNames, Protocol
from sclip_lightning.data.reading.layout import Listing, expand
from sclip_lightning.data.reading.masks import LabelMap
from sclip_lightning.data.reading.segmentation_data import SegmentationData
from sclip_lightning.data.voc import find_voc_val
from sclip_lightning.demo import drawings, scenes, textures
from sclip_lightning.demo.captions import SYNONYMS
from sclip_lightning.demo.scenes import CLASSES, Split, draw_scene
from sclip_lightning.errors import DataError
from sclip_lightning.files import cache_folder

__all__ = ["Demo", "write_scenes"]

#: Number of test scenes.
IMAGES = 64

#: RGB of every class in masks and panels; textures look like themselves.
_COLOURS = {
    "sky": (150, 200, 240),
    "water": (20, 90, 150),
    "grass": (110, 170, 50),
    "sand": (225, 205, 140),
    "brick": (160, 70, 50),
    "wood": (140, 95, 50),
    "gravel": (130, 130, 130),
    "leaves": (190, 110, 20),
    "ball": (230, 25, 75),
    "star": (255, 225, 25),
    "fish": (0, 200, 200),
    "tree": (0, 95, 40),
    "house": (130, 0, 30),
    "boat": (245, 245, 245),
    "flower": (240, 50, 230),
    "mushroom": (255, 150, 150),
    "umbrella": (145, 30, 180),
    "balloon": (255, 120, 0),
    "butterfly": (60, 60, 200),
    "snake": (60, 255, 90),
}

_PALETTE = np.array([_COLOURS[name] for name in CLASSES], np.uint8)

#: Windows of 64 pixels with half of them shared, as CLIP was trained at 64; scenes are 192 pixels high or wide or more.
_PROTOCOL = Protocol(short_side=128, logit_scale=20.0, crop=64, stride=32)


class Demo(SegmentationData):
    """64 drawn scenes of 20 classes, 8 textures and 12 objects, that every machine makes for itself.

    The scenes are written once into ``root``, by default a folder in the user's cache (or ``$SCLIP_CACHE``), and read
    as PASCAL VOC is read. Nothing was tuned on them: hyper-parameters were chosen on other scenes (``val``), CLIP and
    LoftUp were trained on yet others.
    """

    published = Benchmark(
        name="Demo",
        classes=CLASSES,
        palette=_PALETTE,
        prompts=replace(
            ClassNames.load([", ".join(SYNONYMS.get(name, (name,))) for name in CLASSES]), source="the demo's own"
        ),
        protocol=_PROTOCOL,
        images=IMAGES,
        notes=("The demo's scenes are drawn and its CLIP is tiny: the scores say nothing about photographs.",),
    )

    def prepare(self) -> None:
        """Draw the scenes, where they are not there yet."""
        self._folder()

    def listing(self) -> Listing:
        """Find the scenes, drawing them first where they are not there yet."""
        return self.find_files(str(self._folder()))

    def find_files(self, root: str) -> Listing:
        """Find the scenes in a folder; stored values are train ids."""
        return find_voc_val(root, LabelMap.identity(len(CLASSES)), "The demo", "masks as drawn")

    def _folder(self) -> Path:
        folder = expand(self.root) if self.root else cache_folder() / f"demo-{_generator_version()}"
        if not (folder / "ImageSets").is_dir():
            write_scenes(folder, "test", IMAGES)
        return folder


def write_scenes(folder: Path, split: Split, count: int) -> None:
    """Draw scenes and write them in the layout of PASCAL VOC, all of them or, after an error, none.

    Args:
        folder: Root of the data set; it must not exist yet, or be empty.
        split: Which scenes; the list of ids is called ``val`` in any case, as in VOC.
        count: How many.

    Raises:
        DataError: The folder cannot be written, or has something else in it.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}."))
    except OSError as error:
        msg = (
            f"The demo's scenes cannot be written to {folder} ({error.strerror}). Name a folder that can be written "
            "with --data.root, or with the environment variable SCLIP_CACHE."
        )
        raise DataError(msg) from error
    try:
        for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
            (partial / part).mkdir(parents=True)
        with ThreadPoolExecutor() as pool:  # a forked process may inherit locks of OpenCV or torch that nobody opens
            scenes_drawn = pool.map(_write_scene, repeat(partial), repeat(split), range(count))
            ids = list(tqdm(scenes_drawn, "Drawing scenes", total=count, unit="scene", leave=False))
        (partial / "ImageSets/Segmentation/val.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
        partial.chmod(0o755)
        partial.rename(folder)
    except OSError as error:
        if not (folder / "ImageSets").is_dir():  # else another process was faster
            msg = (
                f"The demo's scenes cannot be written to {folder} ({error.strerror}). Empty that folder, or name "
                "another with --data.root."
            )
            raise DataError(msg) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_scene(folder: Path, split: Split, index: int) -> str:
    scene = draw_scene(split, index)
    name = f"{split}_{index:06d}"
    Image.fromarray(scene.image).save(folder / f"JPEGImages/{name}.jpg", quality=92)
    mask = Image.fromarray(scene.labels)
    mask.putpalette(np.concatenate([_PALETTE, np.full((256 - len(_PALETTE), 3), 224, np.uint8)]).tobytes())
    mask.save(folder / f"SegmentationClass/{name}.png")
    return name


def _generator_version() -> str:
    """A name for what the scenes depend on: the code that draws them, and the libraries that draw and compress."""
    sources = [Path(str(module.__file__)).read_bytes() for module in (scenes, textures, drawings)]
    libraries = [library.__version__.encode() for library in (np, cv2, PIL)]  # under whatever name each was installed
    return hashlib.sha256(b"\0".join(sources + libraries)).hexdigest()[:12]
