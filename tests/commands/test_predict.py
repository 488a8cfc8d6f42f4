"""``sclip predict`` as a user types it, on generated images and a tiny CLIP."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from sclip_lightning import Segmentor
from sclip_lightning.cli import main
from sclip_lightning.commands.predict import find_vocabulary
from sclip_lightning.data import VOC21
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.devices import computes_bfloat16
from sclip_lightning.upsampling.networks.loftup_weights import load_loftup
from sclip_lightning.vocabulary import Vocabulary
from tests.fake_data import draw_labels, write_image

CLASSES = "cat, grass=lawn|meadow, sky"
#: A configuration's model section with another attention than the default.
NACLIP = "model: {decoder: {class_path: LastBlock, init_args: {attention: naclip}}}\n"


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of three images, one in a subfolder; commands run in a folder of their own."""
    for i, name in enumerate(("one.jpg", "two.PNG", "more/one.jpg")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, draw_labels((48, 64 + i), 21, seed=i))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "photos"


@pytest.fixture
def small(tiny_clip):
    """What makes a run small."""
    return [
        f"--model.architecture={tiny_clip}",
        "--model.templates=none",
        "--model.crop=48",
        "--model.stride=32",
        "--short_side=64",
        "--device=cpu",
    ]


@pytest.fixture
def predict(photos, small):
    """Run the command on the photos."""

    def run(*arguments, images=photos, configs=()):
        configs = [f"--config={config}" for config in configs]
        main(["predict", *configs, "--images", str(images), *small, *arguments])

    return run


@pytest.fixture
def fails(predict, capsys):
    """Run, expect an orderly end, and return what was printed to stderr."""

    def run(*arguments, code=1, **options):
        with pytest.raises(SystemExit) as ending:
            predict(*arguments, **options)
        assert ending.value.code == code
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error

    return run


def rows(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_what_a_run_writes(predict, photos, tiny_clip, capsys):
    predict("--classes", CLASSES)
    table = rows("predictions/shares.csv")
    assert [row["name"] for row in table] == ["one", "two"]
    assert [row["image"] for row in table] == [str(photos / "one.jpg"), str(photos / "two.PNG")]

    segmentor = Segmentor.from_pretrained(tiny_clip, templates="none", crop=48, stride=32, short_side=64, device="cpu")
    palette = Vocabulary.parse(CLASSES).palette
    for row in table:
        expected = segmentor.predict(row["image"], CLASSES)
        with Image.open(f"predictions/labels/{row['name']}.png") as stored:
            assert stored.mode == "P"
            assert stored.getpalette()[:9] == palette.ravel().tolist()
            np.testing.assert_array_equal(np.asarray(stored), expected.labels)
        with Image.open(f"predictions/overlays/{row['name']}.png") as drawn:
            np.testing.assert_array_equal(np.asarray(drawn), np.asarray(expected.overlay(row["name"])))
        assert (row["height"], row["width"]) == tuple(map(str, expected.labels.shape))
        for name, share in expected.shares().items():
            assert float(row[name]) == pytest.approx(share, abs=1e-6)

    assert [row["names"] for row in rows("predictions/classes.csv")] == ["cat", "grass, lawn, meadow", "sky"]
    settings = json.loads(Path("predictions/settings.json").read_text())
    assert (settings["short_side"], settings["crop"], settings["prob_threshold"]) == (64, 48, 0)
    printed = capsys.readouterr().out
    assert "2 images" in printed
    mean = np.mean([float(row["grass"]) for row in table])
    assert f"{100 * mean:.2f} %" in printed


@pytest.mark.slow
def test_a_run_can_be_repeated(predict, photos):
    predict("--classes", CLASSES, "--background", "--recursive")
    main(["predict", "--config", "predictions/config.yaml", "--output_dir=again"])
    first, second = (sorted(Path(f"{name}/labels").rglob("*.png")) for name in ("predictions", "again"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert [path.relative_to("predictions/labels").as_posix() for path in first] == [
        "more/one.png",
        "one.png",
        "two.png",
    ]


def test_images_of_one_name_from_several_folders(photos, small):
    main(["predict", "--images", str(photos / "more"), str(photos), *small, "--classes", CLASSES])
    assert [row["name"] for row in rows("predictions/shares.csv")] == ["one", "one-2", "two"]
    assert {path.stem for path in Path("predictions/overlays").iterdir()} == {"one", "one-2", "two"}


def test_background_follows_the_published_list(predict):
    predict("--classes", "cat, sky", "--background")
    background, cat, sky = rows("predictions/classes.csv")
    assert (background["class"], cat["class"], sky["class"]) == ("background", "cat", "sky")
    words = [word for word in VOC21.published.synonyms[0] if word != "sky"]
    assert background["names"] == ", ".join(words)
    settings = json.loads(Path("predictions/settings.json").read_text())
    assert (settings["logit_scale"], settings["prob_threshold"]) == (50, 0.1)


@pytest.mark.slow
def test_background_of_words_that_fit_the_classes(predict, capsys):
    demo = ("--model.architecture=demo", "--model.weights=demo")
    predict("--classes", "grass, house", "--background", "auto", *demo)
    written = Path("predictions/background.txt")
    words = written.read_text().split("\n")[:-1]
    printed = capsys.readouterr().err
    assert f"Background: {', '.join(words)}. Near one of your classes, and left out: " in printed
    assert rows("predictions/classes.csv")[0]["names"] == ", ".join(words)
    settings = json.loads(Path("predictions/settings.json").read_text())
    assert settings["classes"] == [words, ["grass"], ["house"]]
    segmentor = Segmentor.from_pretrained("demo", "demo", templates="none", device="cpu")
    assert list(segmentor.background_words("grass, house")) == words

    written.write_text("\n".join(["# mine", *words[1:], "house"]))
    predict("--classes", "grass, house", "--background", str(written), "--output_dir=edited", *demo)
    assert rows("edited/classes.csv")[0]["names"] == ", ".join(words[1:])
    expected = segmentor.vocabulary("grass, house", background=words[1:])
    assert json.loads(Path("edited/settings.json").read_text())["classes"][0] == list(expected.synonyms[0])
    with pytest.raises(ConfigError, match=r"background is 'automatic'; expected True, False, 'auto', or a list"):
        segmentor.vocabulary("grass, house", background="automatic")


@pytest.mark.slow
def test_configurations_of_test_give_their_model(predict, tmp_path, capsys):
    torch.save(load_loftup(None, dim=16).state_dict(), tmp_path / "loftup.bin")
    weights = f"--model.upsampler.weights={tmp_path / 'loftup.bin'}"
    predict("--classes", CLASSES, weights, configs=["baseline", "phase1.yaml"])
    assert "takes only the model from" in (note := capsys.readouterr().err)
    assert "phase1.yaml, not trainer" in note
    settings = json.loads(Path("predictions/settings.json").read_text())
    assert settings["steps"].startswith("LoftUp (mode affinity, ")
    assert "; DenseCRF (" in settings["steps"]
    assert settings["rcs"] == "ResidualAttention (tau 2.0, lam 0.4, first_layer 6, last_layer 9)"
    assert settings["precision"] == ("bf16-mixed" if computes_bfloat16(torch.device("cpu")) else "32-true")

    Path("of-test.yaml").write_text(f"trainer: {{devices: 1}}\noutput_dir: elsewhere\n{NACLIP}")
    predict("--classes", CLASSES, "--output_dir=second", configs=["of-test.yaml"])
    saved = yaml.safe_load(Path("second/config.yaml").read_text())
    assert saved["model"]["decoder"]["init_args"]["attention"] == "naclip"


def test_own_configuration(predict):
    Path("mine.yaml").write_text(f"classes: [cat, grass=lawn|meadow]\nbackground: true\n{NACLIP}")
    predict("--config", "mine.yaml")
    assert [row["class"] for row in rows("predictions/classes.csv")] == ["background", "cat", "grass"]


def test_class_files_and_benchmarks(predict):
    Path("mine.txt").write_text("cat\ngrass, lawn\n")
    assert find_vocabulary("mine.txt").synonyms == (("cat",), ("grass", "lawn"))
    assert find_vocabulary("mine.txt", background=True).names == ("background", "cat", "grass")
    for name in ("VOC21", "voc21", "voc21.txt"):
        assert find_vocabulary(name) == Vocabulary.of(VOC21.published)
    assert find_vocabulary("VOC21").benchmark == "VOC21"
    Path("voc21.txt").write_text("cat\ndog\n")  # a file here comes before a shipped one
    assert find_vocabulary("voc21.txt").names == ("cat", "dog")

    predict("--classes", "VOC20")
    assert len(rows("predictions/classes.csv")) == 20
    labels = np.asarray(Image.open("predictions/labels/one.png"))
    assert labels.max() < 20


def test_bfloat16_runs_on_the_cpu(predict):
    predict("--classes", CLASSES, "--precision", "bf16-mixed")
    assert json.loads(Path("predictions/settings.json").read_text())["precision"] == "bf16-mixed"


def test_precision_fits_the_machine_and_stays_that_of_the_folder(predict, monkeypatch, capsys):
    def run(native):
        monkeypatch.setattr("sclip_lightning.model.devices.computes_bfloat16", lambda device: native)
        predict("--classes", CLASSES)
        said = capsys.readouterr().err
        made = yaml.safe_load(Path("predictions/config.yaml").read_text())["precision"]
        assert made == json.loads(Path("predictions/settings.json").read_text())["precision"]
        return made, said

    made, said = run(True)
    assert made == "bf16-mixed"
    assert "Precision: bf16-mixed, since this CPU computes in bfloat16 (auto)." in said
    Path("predictions/labels/one.png").unlink()
    made, said = run(False)
    assert made == "bf16-mixed"
    assert "goes on as it was; by itself this CPU would take 32-true, though slowly" in said


def test_random_weights_are_noted(predict, capsys):
    predict("--classes", CLASSES, "--model.weights=null")
    assert "weights are random" in capsys.readouterr().err


def test_help_explains_and_loads_nothing(monkeypatch, capsys):
    monkeypatch.setattr("sclip_lightning.segmentor.load_clip", lambda *_: pytest.fail("loaded weights"))
    with pytest.raises(SystemExit) as ending:
        main(["predict", "--help"])
    assert ending.value.code == 0
    assert "--background" in capsys.readouterr().out


# Bad input


@pytest.fixture
def no_weights(monkeypatch):
    """Whatever is wrong must be found before the weights are loaded."""
    monkeypatch.setattr("sclip_lightning.segmentor.load_clip", lambda *_: pytest.fail("loaded weights"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes="], "no classes"),
        (["--classes=cat, cat"], "stands twice"),
        (["--classes=cat"], "only class"),
        (["--classes=absent.txt"], "absent.txt (--classes)"),
        (["--classes=cat, sky", "--device=cuda:99"], "--device"),
        (["--classes=cat, sky", "--precision=16-mixed"], "--precision"),
        (["--classes=cat, sky", "--short_side=-1"], "short_side is -1"),
        (["--classes=cat, sky", "--output_dir=taken/below"], "--output_dir"),
        (["--classes=cat, sky", "--model.prob_threshold=0.2"], "Add a background"),
        (["--classes=cat, sky", "--model.stride=49"], "--model.stride"),
        (["--classes=cat, sky", "--model.decoder.sfr=true", "--model.decoder.attention=maskclip"], "maskclip"),
        (["--classes=cat, sky", "--config=absent.yaml"], "absent.yaml"),
    ],
)
def test_arguments_that_cannot_work(fails, no_weights, arguments, message):
    Path("taken").write_text("a file")
    assert message in (error := fails(*arguments))
    assert error.strip().count("\n") == 0
    assert not Path("predictions").exists()


def test_arguments_that_do_not_exist(fails, no_weights):
    assert "--clases" in fails("--classes", CLASSES, "--clases=cat", code=2)
    assert "--classes must be given" in fails(code=2)
    Path("mine.yaml").write_text("clases: [cat]\n")
    assert "clases" in fails("--config", "mine.yaml", "--classes", CLASSES, code=2)
    Path("broken.yaml").write_text("classes: [cat\n")
    assert "broken.yaml (--config) is no YAML" in fails("--config", "broken.yaml", "--classes", CLASSES)


def test_paths_without_images(fails, no_weights, tmp_path):
    assert "no image or folder nowhere" in fails("--classes", CLASSES, images="nowhere")
    (tmp_path / "bare").mkdir()
    assert ".jpg" in fails("--classes", CLASSES, images=tmp_path / "bare")


def test_a_file_that_is_no_image(fails, predict, photos, monkeypatch, capsys):
    (photos / "a.jpg").write_text("text")
    with monkeypatch.context() as patch:
        patch.setattr("sclip_lightning.segmentor.load_clip", lambda *_: pytest.fail("loaded weights"))
        error = fails("--classes", CLASSES)
        assert "a.jpg cannot be read" in error
        assert "--on_error skip" in error
    with pytest.raises(SystemExit) as ending:  # not everything was done, and scripts must see it
        predict("--classes", CLASSES, "--on_error", "skip")
    assert ending.value.code == 1
    printed = capsys.readouterr()
    assert "a.jpg" in printed.err
    assert "2 images, " in printed.out
    assert "1 of 3 images skipped" in printed.out
    assert "a.jpg" in json.loads(Path("predictions/settings.json").read_text())["skipped"][0]
    assert [row["name"] for row in rows("predictions/shares.csv")] == ["one", "two"]


def test_a_truncated_image_ends_the_run_and_leaves_what_was_done(fails, predict, photos):
    whole = (photos / "one.jpg").read_bytes()
    (photos / "three.jpg").write_bytes(whole[:-200])
    error = fails("--classes", CLASSES)
    assert "three.jpg" in error
    assert "--on_error skip" in error
    assert str(Path("predictions").absolute()) in error
    assert [row["name"] for row in rows("predictions/shares.csv")] == ["one"]


def test_no_image_left(fails, photos):
    for name in ("one.jpg", "two.PNG"):
        Image.new("RGB", (3000, 2)).save(photos / name)
    error = fails("--classes", CLASSES, "--on_error", "skip")
    assert "None of the 2 images" in error
    assert "patch" in error
