"""Whether reading and files hold the network up: images per second of `sclip predict` around a network that sleeps.

The segmentor takes some time an image without computing, as one on a GPU does, and returns labels made before. Images
of 428 x 640 are read and prepared, labels and overlays drawn and written, as ever. Beside the rate stands the processor
time that the network's own thread spends on an image without the network. Each repeat runs once as it is and once with
all in one thread.

    python benchmarks/predicting.py [--classes 21 171] [--images 60] [--seconds 0.05] [--repeats 3]
"""

import argparse
import contextlib
import io
import itertools
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from pipeline import FIRST, write_data

from sclip_lightning.cli import main as sclip
from sclip_lightning.jobs import session
from sclip_lightning.model.segmentation import Segmentation
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor


def sleeping(labels, seconds, spent):
    """Stands in for `SlidingWindowSegmentor.predict`; notes what the thread that calls it has spent so far."""
    turn = itertools.cycle(labels)

    def predict(self, *arguments):
        spent.append(time.thread_time())
        time.sleep(seconds)
        return Segmentation(next(turn), lambda: None)

    return predict


def rate(folder, labels, seconds):
    """Images per second of one run, and seconds of processor time of the network's thread per image."""
    spent, times, bar = [], [], session.tqdm.update

    def noted(self, *arguments):
        times.append(time.perf_counter())
        return bar(self, *arguments)

    SlidingWindowSegmentor.predict = sleeping(labels, seconds, spent)
    arguments = [
        *("predict", f"--images={folder / 'images'}", f"--classes={folder / 'classes.txt'}", "--overwrite"),
        *("--model.weights=null", "--model.templates=none", "--device=cpu", f"--output_dir={folder / 'predictions'}"),
    ]
    session.tqdm.update = noted  # the bar counts images that are done
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            sclip(arguments)
    finally:
        session.tqdm.update = bar
    return (len(times) - 1 - FIRST) / (times[-1] - times[FIRST]), statistics.median(np.diff(spent[FIRST:]))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[21, 171])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.05, help="that the network takes for an image")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # a network that sleeps leaves all cores but one's; else nothing would run beside it
    for classes in options.classes:
        with TemporaryDirectory() as name:
            folder = Path(name)
            labels = write_data(folder, classes, options.images)
            for _ in range(options.repeats):
                for threads, spare in (("in one thread", False), ("as it is", True)):
                    session.has_spare_core = lambda device, spare=spare: spare
                    images, own = rate(folder, labels, options.seconds)
                    print(
                        f"{classes:4} classes, {threads:13}: {images:6.2f} images a second, "
                        f"{100 * images * options.seconds:3.0f} % of {1 / options.seconds:g}; {1000 * own:5.1f} ms of "
                        "processor time beside the network",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
