"""Two small runs with images, ground truth and label maps, for pages about them."""

import shutil

import numpy as np
import yaml
from PIL import Image

from sclip_lightning.cli import main

__all__ = ["CLASSES", "write_runs"]

CLASSES = ["ground", "</script><b>bold", "<!--<script c", "sky & \u202eaes"]
SIZE = (30, 40)


def write_runs(folder, images=6):
    """Score made-up label maps twice, and leave what ``sclip test --predictions.labels true`` does besides.

    Run ``a`` is always wrong in a corner, ``b`` in half of the images in a smaller one.

    Returns:
        The two folders.
    """
    rng = np.random.default_rng(0)
    data = folder / "data"
    for part in ("images", "masks"):
        (data / part).mkdir(parents=True)
    for run in "ab":
        (folder / run).mkdir()
    for index in range(images):
        truth = np.zeros(SIZE, np.uint8)
        truth[:15, :20], truth[15:, 20:], truth[:3, 30:] = 1, 3, 255
        truth[20:, :5] = 2 if index == 0 else 0
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8)).save(data / f"images/i{index}.png")
        Image.fromarray(truth).save(data / f"masks/i{index}.png")
        for run, corner in (("a", 4 + index), ("b", index % 2)):
            labels = np.where(truth == 255, 0, truth)
            labels[:corner, :20] = 2
            Image.fromarray(labels.astype(np.uint8)).save(folder / run / f"i{index}.png")
    (folder / "classes.txt").write_text("\n".join(f"c{index}" for index in range(len(CLASSES))))
    folders = []
    for run in "ab":
        out = [f"--output_dir={folder}/runs", f"--name={run}", f"--predictions={folder / run}"]
        main(["score", "--data=ImageFolder", f"--data.root={data}", f"--data.classes={folder}/classes.txt", *out])
        (made,) = folder.glob(f"runs/*/{run}")
        shutil.copytree(folder / run, made / "labels")
        arguments = {"root": str(data), "classes": str(folder / "classes.txt"), "short_side": 32}
        section = {"class_path": "sclip_lightning.data.ImageFolder", "init_args": arguments}
        (made / "config.yaml").write_text(yaml.safe_dump({"data": section}))
        for name in ("run.json", "results.json"):  # names that no class file could hold
            text = (made / name).read_text()
            for index, name_of in enumerate(CLASSES):
                text = text.replace(f'"c{index}"', '"' + name_of + '"')
            (made / name).write_text(text)
        folders.append(made)
    return folders
