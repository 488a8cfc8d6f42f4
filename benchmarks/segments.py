"""How pure segments of the makers without weights are on validation scenes of the demo.

A pixel counts as right where most labelled pixels of its segment are of its class.

    python benchmarks/segments.py
"""

from io import BytesIO

import numpy as np
import torch
from PIL import Image

from sclip_lightning.demo.scenes import draw_scene
from sclip_lightning.regions import SLIC, Felzenszwalb

SCENES = 16
#: The defaults come first of each kind; they are scikit-image's and were not chosen here.
MAKERS = (Felzenszwalb(), Felzenszwalb(1, 0.8, 20), Felzenszwalb(300, 0.8, 100), SLIC(), SLIC(100))
#: Of pixels that no class is given.
UNLABELLED = 255


def stored(image):
    """An image as the demo's benchmark stores it."""
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=92)
    return np.asarray(Image.open(file).convert("RGB"))


def right(segments, labels):
    """Number of pixels whose class is that of most of their segment, and number of labelled pixels."""
    known = labels != UNLABELLED
    pairs = segments[known].astype(np.int64) * UNLABELLED + labels[known]
    counts = np.bincount(pairs, minlength=(int(segments.max()) + 1) * UNLABELLED).reshape(-1, UNLABELLED)
    return counts.max(axis=1).sum(), known.sum()


def main():
    scenes = [draw_scene("val", index) for index in range(SCENES)]
    for maker in MAKERS:
        segment = maker.load(torch.device("cpu")).segment
        maps = [segment(stored(scene.image)) for scene in scenes]
        hits, pixels = np.sum([right(one, scene.labels) for one, scene in zip(maps, scenes, strict=True)], axis=0)
        number = np.median([len(np.unique(one)) for one in maps])
        print(f"{maker}: {100 * hits / pixels:.2f} % of pixels, median of {number:g} segments")


if __name__ == "__main__":
    main()
