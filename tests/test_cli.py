"""The commands as a user types them, on generated data and a tiny CLIP."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sclip_lightning.cli import main
from sclip_lightning.commands.parsing.configs import find_config, shipped_configs
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.facts import method_names
from sclip_lightning.upsampling.networks.anyup import load_anyup
from sclip_lightning.upsampling.networks.loftup_weights import load_loftup
from sclip_lightning.upsampling.networks.naf import load_naf
from tests.fake_data import write_all, write_coco_stuff, write_maps, write_voc
from tests.forked import start_sclip
from tests.tiny_dino import MICRO, lposs_on, write_micro

pytestmark = [pytest.mark.usefixtures("plain_board"), pytest.mark.slow]

ROOT = Path(__file__).parent.parent
#: Those that the guide shows beside each other are run by its command, see ``tests/demo/test_demo.py``.
BESIDE = re.findall(r"demo/\w+\.yaml", re.findall(r"--beside (.*)", (ROOT / "docs/guide.md").read_text())[0])
CONFIGS = sorted(str(path.relative_to(shipped_configs())) for path in shipped_configs().rglob("*.yaml"))
CONFIGS = [config for config in CONFIGS if config not in BESIDE]
#: Names that stand for methods, whose configurations are made of their facts.
METHODS = [f"{name}.yaml" for name in method_names()]


#: As they are by default.
PANELS = ["--panels.count=8", "--ranked_panels.worst=3", "--ranked_panels.median=1"]
NO_PANELS = ["--panels.count=0", "--ranked_panels.worst=0", "--ranked_panels.median=0"]


@pytest.fixture
def data_root(tmp_path, monkeypatch):
    """A folder with a VOC and a COCO-Stuff of a few images; commands run in a folder of their own."""
    write_voc(tmp_path / "data", 3)
    write_coco_stuff(tmp_path / "data", 3)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "data"


@pytest.fixture
def options(data_root, tiny_clip):
    """What makes a test run small: tiny weights, small images, one process, no pictures of them."""
    return [
        *NO_PANELS,
        f"--data.root={data_root}",
        "--data.short_side=64",
        "--data.num_workers=0",
        f"--model.architecture={tiny_clip}",
        "--model.templates=none",
        "--model.crop=48",
        "--model.stride=32",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
    ]


def run(*arguments):
    main(list(arguments))


def fails(capsys, *arguments, code=1):
    """Run, expect an orderly end, and return what was printed to stderr."""
    with pytest.raises(SystemExit) as ending:
        run(*arguments)
    assert ending.value.code == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def load(folder):
    return json.loads((Path("lightning_logs") / folder / "results.json").read_text())


@pytest.fixture(scope="session")
def all_data(tmp_path_factory):
    """A folder with a few images of every benchmark, which tests only read."""
    return write_all(tmp_path_factory.mktemp("all-data"), 3)


@pytest.mark.parametrize("config", [*CONFIGS, *METHODS])
def test_every_shipped_config_runs(config, options, all_data, demo_scenes, tmp_path, capsys):
    if config.startswith("demo"):  # with the networks that come with it
        base = [] if config == "demo.yaml" else ["--config", "demo.yaml"]
        small = [f"--data.root={demo_scenes}", "--data.num_samples=1", "--data.num_workers=0", *NO_PANELS]
        run("test", *base, "--config", config, *small, "--trainer.accelerator=cpu", "--trainer.devices=1")
        assert "mIoU" in capsys.readouterr().out
        return
    torch.save(load_loftup(None, dim=16).state_dict(), tmp_path / "loftup.bin")
    base = [] if config == "baseline.yaml" else ["--config", "baseline.yaml"]
    own = [f"--data.root={all_data}"]
    if config in ("loftup.yaml", "phase1.yaml"):
        own.append(f"--model.upsampler.weights={tmp_path / 'loftup.bin'}")
    if config in ("naf.yaml", "anyup.yaml"):
        network = load_naf(None) if config == "naf.yaml" else load_anyup(None)
        torch.save(network.state_dict(), tmp_path / "upsampler.pth")
        own.append(f"--model.upsampler.weights={tmp_path / 'upsampler.pth'}")
    if config == "segearth.yaml":
        own.append("--protocol=sclip")  # its own is for data that are not here
    if config == "scclip.yaml":  # its numbers are those of 12 and 24 blocks
        numbers = {"similarity_block": 6, "post_block": 3, "second_pass": "[3,8]", "class_share": 0.3}
        own += [f"--model.decoder.{field}={value}" for field, value in numbers.items()]
    if config in ("proxyclip.yaml", "glaclip.yaml", "corrclip.yaml", "ovstitcher.yaml"):
        weights = write_micro(tmp_path / "micro.pth")
        own += [f"--model.decoder.network={MICRO}", f"--model.decoder.weights={weights}"]
    if config in ("lposs.yaml", "lpossplus.yaml"):
        own.append(lposs_on(write_micro(tmp_path / "micro.pth"), config == "lpossplus.yaml"))
    if config in ("corrclip.yaml", "ovstitcher.yaml"):
        write_maps(all_data, tmp_path / "maps")
        own.append(f"--data.regions={tmp_path / 'maps'}")
    run("test", *base, "--config", config, *options, *own)
    assert "mIoU" in capsys.readouterr().out


@pytest.mark.parametrize("benchmark", ["VOC21", "VOC20", "COCOStuff", "ADE20K", "Cityscapes"])
def test_run_leaves_its_records(benchmark, options, all_data, capsys):
    run("test", "--config", "baseline.yaml", "--data", benchmark, *options, f"--data.root={all_data}", *PANELS)
    table = capsys.readouterr().out
    results = load(f"{benchmark}/baseline")
    assert results["protocol"]["images"] == "3 of 3"
    assert results["protocol"]["crop"] == 48
    assert f"mIoU  {'':<15}{100 * results['metrics']['mIoU']:.2f} %".split() == re.search("mIoU.*", table)[0].split()
    assert ("bF1@0.75pct" in results["metrics"]) == (benchmark != "VOC20")
    assert (benchmark == "VOC20") == any("not applicable" in note for note in results["notes"])

    folder = Path("lightning_logs") / benchmark / "baseline"
    assert len((folder / "per_class.csv").read_text().splitlines()) == 1 + len(results["classes"])
    assert len(list((folder / "panels").glob("*.png"))) == 3
    assert yaml.safe_load((folder / "config.yaml").read_text())["data"]["class_path"].endswith(benchmark)

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()
    miou = pytest.approx(results["metrics"]["mIoU"])
    assert [event.value for event in events.Scalars("headline/1_mIoU")] == [miou]
    assert [event.step for event in events.Scalars("so_far/mIoU")] == [1, 2, 3]
    assert events.Scalars("so_far/mIoU")[-1].value == miou
    assert len([tag for tag in tags["images"] if tag.startswith("images/samples/")]) == 3
    assert {"config/text_summary", "protocol/text_summary", "environment/text_summary"} <= set(tags["tensors"])
    assert "_hparams_/session_start_info" in events.summary_metadata


@pytest.mark.parametrize("config", ["baseline", "resclip"])
def test_saved_config_runs_again_with_the_same_digits(options, config):
    run("test", "--config", f"{config}.yaml", "--data", "VOC21", *options)
    run("test", "--config", f"lightning_logs/VOC21/{config}/config.yaml", "--name", "again")
    assert load("VOC21/again")["metrics"] == load(f"VOC21/{config}")["metrics"]
    assert load("VOC21/again")["protocol"] == load(f"VOC21/{config}")["protocol"]


def test_resclip_under_its_own_protocol(options):
    small = [option for option in options if not option.startswith(("--model.crop", "--model.stride"))]
    run("test", "--config", "resclip.yaml", "--data", "VOC21", *small)
    protocol = load("VOC21/resclip")["protocol"]
    assert (protocol["crop"], protocol["logit_scale"], protocol["area_threshold"]) == ("whole image", 40, 0)
    assert protocol["rcs"] == "ResidualAttention (tau 2.0, lam 0.3, first_layer 6, last_layer 9)"
    assert protocol["sfr"].startswith("SemanticFeedback (tau 2.2, lam 0.7, threshold 0.5, ")
    assert (protocol["attention"], protocol["residual"]) == ("naclip", False)


def test_clearclip_under_its_own_protocol(options):
    small = [option for option in options if not option.startswith(("--model.crop", "--model.stride"))]
    run("test", "--config", "clearclip.yaml", "--config", "data/voc21.yaml", *small)
    protocol = load("VOC21/clearclip")["protocol"]
    assert (protocol["crop"], protocol["stride"], protocol["logit_scale"]) == (448, 224, 50)
    assert (protocol["prob_threshold"], protocol["class_file"]) == (0.5, "voc21_clearclip.txt")
    assert (protocol["attention"], protocol["residual"]) == ("clearclip", False)


def test_own_data(options, all_data):
    own = [f"--data.root={all_data / 'own'}", f"--data.classes={all_data / 'own/classes.txt'}"]
    run("test", "--config", "baseline.yaml", "--data", "ImageFolder", *options, *own, "--model.prob_threshold=0.4")
    results = load("ImageFolder/baseline")
    assert [row["class"] for row in results["classes"]] == ["sky", "car", "person"]
    assert results["protocol"]["class_file"] == "classes.txt"
    assert results["protocol"]["prob_threshold"] == 0.4
    assert results["metrics"]["bF1@0.75pct"] is not None
    assert any("Own data" in note for note in results["notes"])


def test_resclips_parts_are_switches_of_their_own(options):
    base = ["test", "--config", "baseline.yaml", "--data", "COCOStuff", *options]
    run(*base)
    run(*base, "--name=off", "--model.decoder.rcs=false", "--model.decoder.sfr=false")
    rcs = {"tau": 2.0, "lam": 0.5, "first_layer": 2, "last_layer": 3}
    run(*base, "--name=rcs", *(f"--model.decoder.rcs.{name}={value}" for name, value in rcs.items()))
    run(*base, "--name=sfr", "--model.decoder.sfr=true", "--model.decoder.sfr.threshold=0")
    runs = {name: load(f"COCOStuff/{name}") for name in ("baseline", "off", "rcs", "sfr")}
    assert runs["off"]["classes"] == runs["baseline"]["classes"]
    assert runs["rcs"]["classes"] != runs["baseline"]["classes"]
    assert runs["sfr"]["classes"] != runs["baseline"]["classes"]
    assert runs["rcs"]["protocol"]["rcs"] == "ResidualAttention (tau 2.0, lam 0.5, first_layer 2, last_layer 3)"
    assert runs["sfr"]["protocol"]["sfr"].startswith("SemanticFeedback (tau 1.8, lam 0.7, threshold 0.0, ")
    assert (runs["rcs"]["protocol"]["sfr"], runs["sfr"]["protocol"]["rcs"]) == ("off", "off")


def test_batch_size_changes_no_digit(options):
    for size in (1, 2, 3):
        run(
            "test",
            "--config",
            "baseline.yaml",
            "--data",
            "VOC21",
            f"--data.batch_size={size}",
            f"--name={size}",
            *options,
        )
    assert load("VOC21/1")["metrics"] == load("VOC21/2")["metrics"] == load("VOC21/3")["metrics"]
    assert load("VOC21/1")["classes"] == load("VOC21/2")["classes"] == load("VOC21/3")["classes"]


def test_explicit_settings_win_over_the_benchmarks(options):
    run("test", "--config", "baseline.yaml", "--data", "VOC21", *options, "--name=own", "--model.prob_threshold=0")
    protocol = load("VOC21/own")["protocol"]
    assert (protocol["logit_scale"], protocol["prob_threshold"], protocol["area_threshold"]) == (65, 0, 0.1)


def test_random_weights_are_noted(options):
    run("test", "--config", "baseline.yaml", "--data", "VOC21", *options, "--model.weights=null")
    results = load("VOC21/baseline")
    assert any("random" in note for note in results["notes"])
    assert results["protocol"]["weights"] == "untrained (random)"


def test_first_n_images(options):
    run("test", "--config", "baseline.yaml", "--data", "VOC21", *options, "--data.num_samples=2")
    assert load("VOC21/baseline")["protocol"]["images"] == "2 of 3"


def test_own_classes_and_mixed_precision(options, tmp_path):
    names = tmp_path / "mine.txt"
    names.write_text("\n".join(f"thing {i}, item {i}" for i in range(21)))
    run("test", "--config", "baseline.yaml", "--data", "VOC21", *options, f"--data.classes={names}",
        "--trainer.precision=bf16-mixed")  # fmt: skip
    protocol = load("VOC21/baseline")["protocol"]
    assert (protocol["class_file"], protocol["names"], protocol["precision"]) == ("mine.txt", 42, "bf16-mixed")


def test_without_logger_only_the_table_remains(options, capsys):
    run("test", "--config", "baseline.yaml", "--data", "VOC21", *options, "--trainer.logger=false")
    assert "mIoU" in capsys.readouterr().out
    assert list(Path.cwd().iterdir()) == []


def test_panels_of_chosen_images(options, capsys):
    run("test", "--config", "baseline.yaml", "--data", "COCOStuff", *options, "--panels.count=1")
    (panel,) = Path("lightning_logs/COCOStuff/baseline/panels").iterdir()
    run(
        "test",
        "--config",
        "baseline.yaml",
        "--data",
        "COCOStuff",
        *options,
        "--name=b",
        f"--panels.ids=[{panel.stem!r}]",
    )
    assert (Path("lightning_logs/COCOStuff/b/panels") / panel.name).read_bytes() == panel.read_bytes()
    error = fails(capsys, "test", "--config", "baseline.yaml", "--data", "VOC21", *options, "--panels.ids=[nobody]")
    assert "--panels.ids" in error
    assert "nobody" in error


def test_more_processes_change_no_digit(options, tmp_path):
    """One, two (uneven shards) and four (more than images), the last two as processes with gloo."""
    command = ["test", "--config", "baseline.yaml", "--data", "VOC21", *options, *PANELS]
    run(*command, "--trainer.devices=1", "--name=1")
    for devices in (2, 4):
        started = start_sclip(*command, f"--trainer.devices={devices}", f"--name={devices}", slow=False)
        assert started.wait(300) == 0, started.stderr.read()
        assert "deprecated" not in started.stderr.read()
    one, two, four = (load(f"VOC21/{devices}") for devices in (1, 2, 4))
    assert one["metrics"] == two["metrics"] == four["metrics"]
    assert one["classes"] == two["classes"] == four["classes"]
    assert one["protocol"] == two["protocol"] == four["protocol"]
    assert four["performance"]["devices"] == "4 x cpu"
    panels = [sorted(Path(f"lightning_logs/VOC21/{devices}/panels").iterdir()) for devices in (1, 2, 4)]
    assert [[file.read_bytes() for file in files] for files in panels] == [[f.read_bytes() for f in panels[0]]] * 3


def test_loftup(options, tmp_path, capsys, monkeypatch):
    base = ["test", "--config", "baseline.yaml", "--config", "loftup.yaml", "--data", "COCOStuff", *options]
    torch.save(load_loftup(None, dim=16).state_dict(), tmp_path / "loftup.bin")
    run(*base, f"--model.upsampler.weights={tmp_path / 'loftup.bin'}")
    protocol = load("COCOStuff/baseline-loftup")["protocol"]
    assert protocol["steps"] == "LoftUp (mode affinity, scale 2, temperature 20.0, radius 2)"
    assert re.fullmatch("[0-9a-f]{12}", protocol["loftup_sha256"])
    run(*base, "--name=off", "--model.upsampler=null")
    assert load("COCOStuff/off")["protocol"]["steps"] == "none"
    assert load("COCOStuff/off")["classes"] != load("COCOStuff/baseline-loftup")["classes"]

    assert "worthless" in fails(capsys, *base, "--model.upsampler.weights=null")
    torch.save(load_loftup(None, dim=20).state_dict(), tmp_path / "wide.bin")
    assert "has shape" in fails(capsys, *base, f"--model.upsampler.weights={tmp_path / 'wide.bin'}")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: (_ for _ in ()).throw(OSError("offline")))
    assert "haiwen/loftup-clip" in fails(capsys, *base)


def test_refiners(options, capsys):
    base = ["test", "--config", "baseline.yaml", "--data", "COCOStuff", *options]
    run(*base)
    run(*base, "--config", "densecrf.yaml")
    run(*base, "--name=pamr", "--model.refiners=[{class_path: PAMR, init_args: {iterations: 2}}]")
    run(*base, "--name=two", "--model.refiners+=PAMR", "--model.refiners+=Bilateral")
    runs = {name: load(f"COCOStuff/{name}") for name in ("baseline", "baseline-densecrf", "pamr", "two")}
    steps = {name: result["protocol"]["steps"] for name, result in runs.items()}
    assert steps["baseline"] == "none"
    assert steps["baseline-densecrf"].startswith("DenseCRF (iterations 10, gaussian_sxy 3")
    assert "ran torch" in steps["baseline-densecrf"]
    assert steps["pamr"] == "PAMR (iterations 2, dilations (8, 16))"
    assert steps["two"].count(";") == 1
    assert len({json.dumps(result["classes"]) for result in runs.values()}) == 4
    assert "Reorder" in fails(capsys, *base, "--model.refiners+=DenseCRF", "--model.refiners+=PAMR")


# Bad input


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_precisions_that_would_change_labels_are_refused(precision, options, capsys):
    base = ["test", "--config", "baseline.yaml", "--data", "VOC21", *options]
    assert "bf16-mixed" in fails(capsys, *base, f"--trainer.precision={precision}")


def test_config_not_found_lists_the_shipped(capsys):
    assert "baseline.yaml" in fails(capsys, "test", "--config", "phase9.yaml")


def test_shipped_config_yields_to_a_file_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("baseline") == shipped_configs() / "baseline.yaml"
    Path("baseline.yaml").write_text("{}")
    assert find_config("baseline.yaml") == Path("baseline.yaml")
    with pytest.raises(ConfigError, match="no configuration 'nope'"):
        find_config("nope")


def test_misspelt_key(options, capsys):
    error = fails(
        capsys, "test", "--config", "baseline.yaml", "--data", "VOC21", *options, "--model.atention=sclip", code=2
    )
    assert "atention" in error
    Path("own.yaml").write_text("model:\n  atention: sclip\n")
    assert "atention" in fails(capsys, "test", "--data", "VOC21", "--config", "own.yaml", *options, code=2)


def test_no_root(options, capsys, monkeypatch):
    monkeypatch.delenv("SCLIP_DATA_ROOT", raising=False)
    error = fails(capsys, "test", "--config", "baseline.yaml", *options, "--data.root=")
    assert "SCLIP_DATA_ROOT" in error


def test_truncated_image_in_a_worker(options, data_root, capsys):
    image = sorted((data_root / "VOCdevkit/VOC2012/JPEGImages").iterdir())[1]
    image.write_bytes(image.read_bytes()[:-200])
    error = fails(capsys, "test", "--config", "baseline.yaml", "--data", "VOC21", *options, "--data.num_workers=1")
    assert image.name in error
    assert error.strip().count("\n") == 0


def test_weights_that_do_not_fit(options, tmp_path, capsys):
    torch.save({"visual.proj": torch.zeros(2, 2)}, tmp_path / "other.pt")
    error = fails(capsys, "test", "--config", "baseline.yaml", "--data", "VOC21", *options,
                  f"--model.weights={tmp_path / 'other.pt'}")  # fmt: skip
    assert "does not fit" in error


def test_gap_between_windows(options, capsys):
    assert "stride" in fails(capsys, "test", "--config", "baseline.yaml", *options, "--model.stride=49")


def test_parts_that_do_not_fit(options, capsys):
    base = ["test", "--config", "baseline.yaml", "--data", "VOC21", *options]
    assert "maskclip" in fails(capsys, *base, "--model.decoder.sfr=true", "--model.decoder.attention=maskclip")
    too_deep = fails(capsys, *base, "--model.decoder.rcs=true", "--model.decoder.rcs.last_layer=10")
    assert "--model.decoder.rcs.first_layer and last_layer" in too_deep


def test_wrong_number_of_names(options, capsys):
    error = fails(capsys, "test", "--config", "baseline.yaml", "--data", "VOC21", *options, "--data.classes=[cat, dog]")
    assert "21" in error
    assert "2 classes" in error


def test_unwritable_output(options, capsys):
    Path("taken").write_text("a file")
    error = fails(capsys, "test", "--config", "baseline.yaml", "--data", "VOC21", *options, "--output_dir=taken")
    assert "--output_dir" in error


def test_unknown_command(capsys):
    assert "no command 'tset'" in fails(capsys, "tset", code=2)


def test_help_and_version_are_light():
    """Neither imports torch; help of ``test`` and ``print_config`` load no weights."""
    code = "import sys; from sclip_lightning.cli import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    for argument in ("--help", "--version"):
        subprocess.run([sys.executable, "-c", code, argument], check=True, cwd=ROOT)


@pytest.mark.parametrize("argument", ["--help", "--print_config"])
def test_asking_loads_no_weights(argument, monkeypatch, capsys):
    monkeypatch.setattr("sclip_lightning.engine.module.load_clip", lambda *_: pytest.fail("loaded weights"))
    with pytest.raises(SystemExit) as ending:
        run("test", "--config", "baseline.yaml", argument)
    assert ending.value.code == 0
    assert "attention" in capsys.readouterr().out


# sclip score


@pytest.fixture
def predictions(data_root, tmp_path):
    """Label maps that are right but for a bar across each image."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    for file in (data_root / "VOCdevkit/VOC2012/SegmentationClass").glob("*.png"):
        labels = np.array(Image.open(file))
        labels[labels == 255] = 0
        labels[10:20] = 3
        Image.fromarray(labels).save(folder / file.name)
    return folder


def independent_miou(folder, masks, classes=21):
    """Mean over classes with a union, from sets of pixels."""
    intersection, union = np.zeros(classes), np.zeros(classes)
    for file in folder.glob("*.png"):
        prediction, target = np.array(Image.open(file)).astype(int), np.array(Image.open(masks / file.name)).astype(int)
        for c in range(classes):
            p, t = (prediction == c) & (target != 255), target == c
            intersection[c] += (p & t).sum()
            union[c] += (p | t).sum()
    return (intersection[union > 0] / union[union > 0]).mean()


def test_score(predictions, data_root, capsys):
    run("score", "--predictions", str(predictions), "--data", "VOC21", f"--data.root={data_root}")
    results = load("VOC21/score")
    expected = independent_miou(predictions, data_root / "VOCdevkit/VOC2012/SegmentationClass")
    assert results["metrics"]["mIoU"] == pytest.approx(expected, abs=1e-15)
    assert 0 < results["metrics"]["bF1@0.75pct"] < 1
    assert "mIoU" in capsys.readouterr().out
    assert list(Path("lightning_logs/VOC21/score").glob("events*"))


def test_score_reads_16_bit_maps(predictions, data_root):
    run("score", "--predictions", str(predictions), "--data", "VOC21", f"--data.root={data_root}", "--name=8bit")
    for file in predictions.glob("*.png"):
        Image.fromarray(np.array(Image.open(file)).astype(np.uint16)).save(file)
    run("score", "--predictions", str(predictions), "--data", "VOC21", f"--data.root={data_root}", "--name=16bit")
    assert load("VOC21/16bit")["metrics"] == load("VOC21/8bit")["metrics"]


def test_score_bad_predictions(predictions, data_root, capsys):
    command = ["score", "--predictions", str(predictions), "--data", "VOC21", f"--data.root={data_root}"]
    first, second, third = sorted(predictions.glob("*.png"))
    labels = np.array(Image.open(first))

    Image.fromarray(labels[:-1]).save(first)
    assert first.name in (error := fails(capsys, *command))
    assert "Resize" in error
    Image.fromarray(np.full_like(labels, 21)).save(first)
    assert "outside the table" in fails(capsys, *command)
    Image.fromarray(np.zeros((*labels.shape, 3), np.uint8)).save(first)
    assert "RGB" in fails(capsys, *command)

    first.unlink()
    assert first.stem in (error := fails(capsys, *command))
    assert "--missing skip" in error
    run(*command, "--missing", "skip", "--name", "rest")
    results = load("VOC21/rest")
    assert results["protocol"]["images"] == "2 of 3"
    assert any("Incomplete" in note for note in results["notes"])

    second.unlink()
    third.unlink()
    assert "no prediction for 3 of the 3" in fails(capsys, *command, "--missing", "skip")
    assert "--predictions" in fails(capsys, "score", "--predictions", "nowhere", *command[3:])
