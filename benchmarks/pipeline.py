"""Whether anything behind the network holds it up: images per second of `sclip test` around a network that only sleeps.

The segmentor takes 50 ms an image without computing, as one on a GPU does, and returns labels that were made before.
Images of 428 x 640 are read, prepared, scored, recorded and drawn as in any run. The best that can be is 20 a second;
counted is from the sixth record to the last, so that the start of a run does not count. Beside it stands the processor
time that the network's own thread spends on an image without the network: what it would lose on a machine of its own,
which a busy one changes less than the rate.

    python benchmarks/pipeline.py [--classes 21 171] [--images 120] [--seconds 0.05] [--repeats 3] [--workers 2]
"""

import argparse
import contextlib
import io
import itertools
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from PIL import Image

from sclip_lightning.cli import main as sclip
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.records import load_records

SIZE = (428, 640)
#: Records that are not counted: until then processes that read begin, and pages are touched for the first time.
FIRST = 5
IGNORED = 255


def patches(random, classes, cell):
    """[H, W] labels in smooth patches of about so many pixels, of at most 12 of the classes."""
    chosen = random.choice(classes, min(classes, 12), replace=False)
    small = random.standard_normal((len(chosen), SIZE[0] // cell, SIZE[1] // cell)).astype(np.float32)
    return chosen[np.argmax([cv2.resize(one, SIZE[::-1], interpolation=cv2.INTER_CUBIC) for one in small], axis=0)]


def write_data(folder, classes, images):
    """Photographs of noise, masks with a fifth of ignored pixels, and what the network will say of them."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    (folder / "classes.txt").write_text("\n".join(f"thing {number}" for number in range(classes)))
    labels = []
    for number in range(images):
        target = patches(random, classes, 60)
        moved, wrong = np.roll(target, (2, 3), (0, 1)), patches(random, 4, 40) == 0
        labels.append(torch.from_numpy(np.where(wrong, patches(random, classes, 20), moved)))
        mask = np.where(patches(random, 5, 50) == 0, IGNORED, target)
        rgb = cv2.GaussianBlur(random.integers(256, size=(*SIZE, 3), dtype=np.uint8), (0, 0), 3)
        Image.fromarray(rgb).save(folder / "images" / f"{number:04}.jpg", quality=90)
        Image.fromarray(mask.astype(np.uint8)).save(folder / "masks" / f"{number:04}.png")
    return labels


def sleeping(labels, seconds, spent):
    """Stands in for `SlidingWindowSegmentor.predict`; notes what the thread that calls it has spent so far."""
    turn = itertools.cycle(labels)

    def predict(self, *arguments):
        spent.append(time.thread_time())
        time.sleep(seconds)
        return SimpleNamespace(labels=next(turn))

    return predict


def rate(folder, labels, options):
    """Images per second of one run, and seconds of processor time of the network's thread per image."""
    spent = []
    SlidingWindowSegmentor.predict = sleeping(labels, options.seconds, spent)
    arguments = [
        *("--config=baseline.yaml", "--data=ImageFolder", f"--data.root={folder}"),
        *(f"--data.classes={folder / 'classes.txt'}", f"--data.num_workers={options.workers}", "--data.short_side=336"),
        *("--model.weights=null", "--model.templates=none", "--trainer.accelerator=cpu", "--overwrite"),
        f"--output_dir={folder / 'runs'}",
    ]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        sclip(["test", *arguments])
    (run,) = (path.parent for path in (folder / "runs").rglob("run.json"))
    times = sorted(record.time for record in load_records(run).images)
    own = statistics.median(np.diff(spent[FIRST:]))
    return (len(times) - 1 - FIRST) / (times[-1] - times[FIRST]), own


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[21, 171])
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=0.05, help="that the network takes for an image")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes that read images")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a network that sleeps leaves all cores but one's; else nothing would run behind it
    for classes in options.classes:
        with TemporaryDirectory() as name:
            folder = Path(name)
            labels = write_data(folder, classes, options.images)
            for _ in range(options.repeats):
                images, own = rate(folder, labels, options)
                share, possible = images * options.seconds, options.seconds / (options.seconds + own)
                best = 1 / options.seconds
                print(
                    f"{classes:4} classes: {images:6.2f} images a second, {100 * share:3.0f} % of {best:g}; "
                    f"{1000 * own:5.1f} ms of processor time beside the network, which leave {100 * possible:.0f} %",
                    flush=True,
                )


if __name__ == "__main__":
    main()
