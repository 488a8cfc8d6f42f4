import re

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.cli import main
from tests.fake_data import write_all, write_cityscapes, write_coco_stuff, write_palette_mask, write_voc


def check(capsys, *arguments, code=0):
    """Run ``sclip check-data``; returns stdout and stderr."""
    command = ["check-data", *arguments, "--data.num_workers=0"]
    if code == 0:
        main(command)
    else:
        with pytest.raises(SystemExit) as ending:
            main(command)
        assert ending.value.code == code
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return printed.out, printed.err


@pytest.fixture(scope="module")
def all_data(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("all-data"), 3)


@pytest.mark.parametrize(
    ("benchmark", "published"),
    [
        ("VOC21", 1449),
        ("VOC20", 1449),
        ("Context60", 5105),
        ("Context59", 5105),
        ("COCOObject", 5000),
        ("COCOStuff", 5000),
        ("COCOStuff10k", 1000),
        ("Cityscapes", 500),
        ("ADE20K", 2000),
    ],
)
def test_every_benchmark(benchmark, published, all_data, capsys):
    out, err = check(capsys, "--data", benchmark, f"--data.root={all_data}", "--subset")
    assert f"samples   3 of the {published} published" in out
    assert "Nothing is wrong." in out
    assert "3/3" in err
    out, err = check(capsys, "--data", benchmark, f"--data.root={all_data}", code=1)
    assert f"has 3 samples, but the published split has {published}" in out
    assert "--subset" in out
    assert f"{benchmark} has 1 problem, listed above" in err


def test_histogram(tmp_path, capsys):
    base = write_voc(tmp_path, 2, size=(16, 16))
    labels = np.zeros((16, 16), dtype=np.uint8)
    write_palette_mask(base / "SegmentationClass/2007_000000.png", labels)
    labels[:4], labels[4:6] = 15, 255
    write_palette_mask(base / "SegmentationClass/2007_000001.png", labels)
    out, _ = check(capsys, "--data", "VOC21", f"--data.root={base}", "--subset")
    rows = {row[1]: row[2:] for line in out.splitlines() if (row := line.replace("%", "").split()) and row[0].isdigit()}
    assert rows["background"] == ["81.250", "2"]
    assert rows["person"] == ["12.500", "1"]
    assert rows["tvmonitor"] == ["0.000", "0"]
    assert re.search(r"255 \(not scored\) +6\.250 % +1", out)
    assert "19 of the 21 classes occur in none" in out
    assert "layout    masks as published" in out
    assert str(base / "ImageSets/Segmentation/val.txt") in out
    out, _ = check(capsys, "--data", "VOC21", f"--data.root={base}", "--subset", "--limit=1")
    assert re.search(r"background +100\.000 % +1", out)


def test_all_problems_are_listed_with_what_to_do(tmp_path, capsys):
    base = write_voc(tmp_path, 8)
    images, masks = base / "JPEGImages", base / "SegmentationClass"
    (masks / "2007_000000.png").unlink()
    (images / "2007_000001.jpg").unlink()
    for i in (2, 3, 4):
        path = images / f"2007_00000{i}.jpg"
        path.write_bytes(path.read_bytes()[:-300])
    write_palette_mask(masks / "2007_000005.png", np.full((64, 48), 77, dtype=np.uint8))
    write_palette_mask(masks / "2007_000006.png", np.zeros((48, 65), dtype=np.uint8))
    Image.new("RGB", (48, 64)).save(masks / "2007_000007.png")
    out, err = check(capsys, "--data", "VOC21", f"--data.root={base}", "--show=2", code=1)
    assert "VOC21 has 9 problems" in err
    assert "Problems: 9" in out
    for words in (
        "1 of the 8 samples have no image: 2007_000001",
        "1 of the 8 samples have no mask: 2007_000000",
        "has 8 samples, but the published split has 1449",
        "outside the table: 77 (in 3072 pixels), expected 0..20, 255",
        "has 48 x 65 pixels",
        "stored in mode RGB",
        "and 1 more like it (--show 0 lists all)",
        "What to do: Copy or download the file again.",
    ):
        assert words in out
    assert out.count("cannot be read as an image") == 2
    out, _ = check(capsys, "--data", "VOC21", f"--data.root={base}", "--show=0", code=1)
    assert out.count("cannot be read as an image") == 3


def test_segment_maps(tmp_path, capsys):
    base = write_voc(tmp_path, 3, size=(16, 16))
    maps = tmp_path / "maps"
    maps.mkdir()
    halves = np.arange(16).repeat(16).reshape(16, 16) // 8
    for i, values in enumerate([halves, halves * 70000 + 5, np.zeros((16, 16), int)]):
        np.savez_compressed(maps / f"2007_00000{i}.npz", instance_mask=values)
    options = ["--data", "VOC21", f"--data.root={base}", "--subset", f"--data.regions={maps}"]
    out, _ = check(capsys, *options)
    assert f"Segment maps in {maps}" in out
    for line in (
        "read      3 of their image's size, for 3 images",
        "segments  0 to 1 an image, median 1",
        "without   66.667 % of the pixels have the smallest number",
        "smallest  0 in 2, 5 in 1 of the maps",
    ):
        assert line in out
    (maps / "2007_000000.npz").unlink()
    np.savez(maps / "2007_000001.npz", instance_mask=halves[1:])
    np.savez(maps / "2007_000002.npz", masks=halves)
    out, err = check(capsys, *options, code=1)
    assert "read      0 of their image's size, for 3 images" in out
    assert "has 3 problems" in err
    for words in (
        f"no segment map of 2007_000000: looked for {maps / '2007_000000.npz'}",
        "What to do: Call each map as its image's file, but for the suffix, or give another folder (--data.regions).",
        "2007_000001.npz has 15 x 16 pixels (height x width), its image 16 x 16",
        "no array 'instance_mask'; it has 'masks'",
    ):
        assert words in out
    out, _ = check(capsys, *options, "--data.resize_regions=true", code=1)
    assert "read      1, for 3 images" in out
    _, err = check(capsys, *options[:-1], f"--data.regions={maps / '2007_000001.npz'}", code=1)
    assert "is a file, expected a folder" in err


def test_files_without_a_partner(tmp_path, capsys):
    root = write_coco_stuff(tmp_path, 4)
    (root / "images/val2017/000000000001.jpg").unlink()
    (root / "annotations/val2017/000000000002.png").unlink()
    out, _ = check(capsys, "--data", "COCOStuff", f"--data.root={root}", "--subset", code=1)
    assert "1 of the 4 samples have no image: 000000000001" in out
    assert "1 of the 4 samples have no mask: 000000000002" in out
    assert "Labels in 2 masks" in out


def test_more_than_published(tmp_path, capsys):
    base = write_cityscapes(tmp_path, 501, size=(8, 8))
    out, _ = check(capsys, "--data", "Cityscapes", f"--data.root={base}", "--subset", code=1)
    assert "has 501 samples, but the published split has 500" in out
    assert "hold this split alone" in out


def test_configurations_of_runs(all_data, capsys, monkeypatch):
    monkeypatch.setenv("SCLIP_DATA_ROOT", str(all_data))
    out, _ = check(capsys, "--config", "phase1.yaml", "--config", "data/voc20.yaml", "--subset")
    assert "VOC20, 20 classes" in out
    out, _ = check(capsys, "--config=data/ade20k.yaml", "--subset", "--data.num_samples=2")
    assert "Labels in 2 masks" in out


@pytest.mark.parametrize(
    "options",
    [
        ["--method", "naclip", "--protocol", "sclip"],
        ["--model.decoder.attention=naclip", "--model.upsampler=LoftUp", "--model.refiners+=DenseCRF"],
        ["--config=baseline.yaml", "--model.decoder.rcs.tau=2", "--trainer.devices=4"],
    ],
)
def test_options_of_runs(options, all_data, capsys):
    out, _ = check(capsys, "--data", "VOC20", f"--data.root={all_data}", "--subset", *options)
    assert "Nothing is wrong" in out


def test_own_data(all_data, capsys):
    own = all_data / "own"
    options = ["--data", "ImageFolder", f"--data.root={own}", f"--data.classes={own / 'classes.txt'}"]
    out, _ = check(capsys, *options)
    assert "ImageFolder, 3 classes, prompts from classes.txt" in out
    assert "samples   3\n" in out
    _, err = check(capsys, *options[:-1], code=1)
    assert "--data.classes is not given" in err


def test_bad_options(tmp_path, capsys):
    _, err = check(capsys, "--data", "VOC21", f"--data.root={tmp_path}", code=1)
    assert "PASCAL VOC 2012 was looked for" in err
    _, err = check(capsys, "--data", "VOC21", f"--data.root={tmp_path}", "--limit=0", code=1)
    assert "--limit is 0, but must be at least 1" in err
    _, err = check(capsys, f"--data.root={tmp_path}", code=2)
    assert "data" in err
    _, err = check(capsys, "--data", "VOC21", f"--data.root={tmp_path}", "--modle.crop=0", code=2)
    assert "--modle.crop" in err
