"""What happens to long evaluations: they are killed, interrupted, run out of room, and go on."""

import json
import os
import random
import re
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sclip_lightning.cli import main
from sclip_lightning.data.reading.dataset import SegmentationDataset
from sclip_lightning.engine.module import SegmentationModule
from sclip_lightning.engine.recording import Recording
from sclip_lightning.records import load_records
from tests.dots import dots_for_pictures
from tests.fake_data import write_voc
from tests.forked import Forked, start_sclip

pytestmark = pytest.mark.usefixtures("plain_board")

ROOT = Path(__file__).parents[2]
IMAGES = 8
#: Longest that a command may take; generous, since machines that run tests may be busy.
PATIENCE = 600


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, tiny_clip):
    """A data set of a few images, and what makes a run small."""
    data = tmp_path_factory.mktemp("data")
    write_voc(data, IMAGES)
    return [
        "--config=baseline.yaml",
        "--data=VOC21",
        f"--data.root={data}",
        "--data.short_side=64",
        "--data.num_workers=0",
        f"--model.architecture={tiny_clip}",
        "--model.templates=none",
        "--model.crop=48",
        "--model.stride=32",
        "--panels.count=0",
        "--ranked_panels.worst=0",
        "--ranked_panels.median=0",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
    ]


@pytest.fixture
def options(arguments, tmp_path, monkeypatch):
    """The same, in a working directory of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return arguments


@pytest.fixture
def own_images(options, tmp_path):
    """The folder of images of a data set that the test may spoil, and what makes a run of it small."""
    (root,) = (option.partition("=")[2] for option in options if option.startswith("--data.root="))
    shutil.copytree(root, tmp_path / "data")
    return tmp_path / "data/VOCdevkit/VOC2012/JPEGImages", [*options, f"--data.root={tmp_path / 'data'}"]


def run(*arguments):
    main(["test", *arguments])


@contextmanager
def elsewhere(folder):
    """Runs that many tests need are made in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch, dots_for_pictures():
        patch.chdir(folder)
        yield patch


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    """Folder of a run that was left alone, which tests only read or copy."""
    work = tmp_path_factory.mktemp("whole")
    with elsewhere(work):
        run(*arguments, "--name=a")
    return work / folder("a")


@pytest.fixture(scope="module")
def stopped(arguments, tmp_path_factory):
    """Folder of a run that was stopped after two images, which tests copy."""
    scored = Recording.scored

    def scored_until(self, *arguments):
        scored(self, *arguments)
        if self.added == 2:
            raise KeyboardInterrupt

    work = tmp_path_factory.mktemp("stopped")
    with elsewhere(work) as patch, pytest.raises(SystemExit):
        patch.setattr(Recording, "scored", scored_until)
        run(*arguments, "--name=a")
    made = work / folder("a")
    assert len(load_records(made).images) == 2
    assert not (made / "results.json").exists()
    return made


def fails(capsys, *arguments, code=1):
    with pytest.raises(SystemExit) as ending:
        run(*arguments)
    assert ending.value.code == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def start(*arguments, **options):
    """Start a slow run in a process group of its own."""
    return start_sclip("test", *arguments, **options)


def folder(name):
    return Path("lightning_logs/VOC21") / name


def results(name):
    return json.loads((folder(name) / "results.json").read_text())


def digits(name):
    return {key: results(name)[key] for key in ("metrics", "classes", "protocol")}


def wait_for_records(process, name, number):
    """Until so many images are recorded, of a run that has begun."""
    deadline = time.monotonic() + PATIENCE
    while not (folder(name) / "run.json").exists() or len(load_records(folder(name)).images) < number:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def members(group):
    """Processes of a process group, the first of them its leader."""
    output = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in output.splitlines()]
    return sorted(int(pid) for pid, pgid, state in rows if int(pgid) == group and not state.startswith("Z"))


def wait_for_end_of_all(group):
    deadline = time.monotonic() + PATIENCE
    while members(group):
        assert time.monotonic() < deadline
        time.sleep(0.1)


# Killed


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_killed_at_any_moment(options, seed, whole):
    """Kill a run on two processes hard, go on with one and with three: the very digits of a run left alone."""
    chance = random.Random(seed)
    process = start(*options, "--trainer.devices=2", "--name=one")
    finished = chance.randint(0, IMAGES - 3)
    wait_for_records(process, "one", finished)
    time.sleep(chance.uniform(0, 0.5))
    for victim in members(process.pid) if seed % 2 else [process.pid]:  # all of it, or its first process
        os.kill(victim, signal.SIGKILL)
    process.wait(PATIENCE)
    wait_for_end_of_all(process.pid)
    before = load_records(folder("one"))
    assert finished <= len(before.images) < IMAGES
    if before.images:  # what a crash of the machine leaves of the last line
        last = max((folder("one") / "records").glob("*.jsonl"), key=lambda path: path.stat().st_size)
        last.write_bytes(last.read_bytes()[: -chance.randint(1, 40)])

    shutil.copytree(folder("one"), folder("three"))
    run(*options, "--name=one")
    process = start(*options, "--trainer.devices=3", "--name=three", "--resume", slow=False)
    assert process.wait(PATIENCE) == 0, process.stderr.read()
    assert digits("one") == digits("three") == digits(whole)
    again = load_records(folder("one"), session=1)
    assert len(again.images) == IMAGES - len(before.images) + bool(before.images)
    assert results("one")["performance"]["images in the last session"] == len(again.images)


@pytest.mark.slow
def test_end_of_one_process_ends_the_others(options):
    """The second is a process as users have it, started by the command that Lightning makes, and not forked."""

    def first():
        sys.argv[1:] = ["test", *options, "--trainer.devices=2", "--name=a"]
        runpy.run_module("tests.slow_sclip", run_name="__main__", alter_sys=True)  # what python -m does

    process = Forked(first, {**os.environ, "PYTHONPATH": str(ROOT)}, session=True, stderr=True)
    wait_for_records(process, "a", 2)
    child = members(process.pid)[-1]
    ran = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
    assert ran[1:4] == ["-m", "tests.slow_sclip", "test"]
    os.kill(child, signal.SIGKILL)
    assert process.wait(PATIENCE) != 0
    wait_for_end_of_all(process.pid)
    recorded = len(load_records(folder("a")).images)
    assert 2 <= recorded < IMAGES
    run(*options, "--name=a")
    assert results("a")["protocol"]["images"] == f"{IMAGES} of {IMAGES}"
    assert len(load_records(folder("a"), session=1).images) == IMAGES - recorded


# Resumed


@pytest.fixture
def unfinished(options, stopped):
    """A run that was stopped after two images."""
    shutil.copytree(stopped, folder("a"))
    return options


@pytest.mark.slow
def test_goes_on_where_it_ended(unfinished, whole):
    run(*unfinished, "--name=a", "--resume", "--data.batch_size=3")
    assert len(load_records(folder("a"), session=1).images) == IMAGES - 2
    assert digits("a") == digits(whole)
    assert results("a")["performance"]["sessions"] == 2


@pytest.mark.slow
def test_finished_run_only_reports(options, capsys, monkeypatch):
    run(*options, "--name=a")
    first = capsys.readouterr().out
    files = {path: path.read_bytes() for path in folder("a").rglob("*.json*")}
    monkeypatch.setattr(SegmentationModule, "segment", lambda *_: pytest.fail("segmented an image"))
    with pytest.raises(pytest.fail.Exception, match="segmented an image"):  # what is patched is what segments
        run(*options, "--name=b")
    capsys.readouterr()
    run(*options, "--name=a", "--resume")
    again = capsys.readouterr().out
    assert f"{IMAGES} images, {IMAGES} of them done before" in again
    drawing = "Drawing pictures and filling TensorBoard's pages ...\n"
    assert again.replace(f", {IMAGES} of them done before", "") == first.replace(drawing, "")
    assert {path: path.read_bytes() for path in folder("a").rglob("*.json*")} == files


@pytest.mark.slow
def test_another_protocol_is_refused(unfinished, capsys, tmp_path):
    config = (folder("a") / "config.yaml").read_bytes()
    base = [*unfinished, "--name=a"]
    error = fails(capsys, *base, "--model.crop=64", "--model.decoder.attention=naclip")
    assert "crop 48, now 64" in error
    assert "attention sclip, now naclip" in error
    assert "--overwrite" in error
    names = tmp_path / "mine.txt"
    names.write_text("\n".join(f"thing {i}" for i in range(21)))
    others = {
        "--model.weights=null": "weights from the model's folder, now untrained",
        f"--data.classes={names}": "class_file_sha256",
        "--model.prob_threshold=0.5": "prob_threshold",
        "--trainer.precision=bf16-mixed": "precision",
        "--model.refiners+=Bilateral": "steps none, now Bilateral",
        "--data.short_side=80": "short_side",
    }
    error = fails(capsys, *base, *others)  # which names all that differs
    for key in others.values():
        assert key in error
    assert "images 8" in fails(capsys, *base, "--data.num_samples=1")
    assert (folder("a") / "config.yaml").read_bytes() == config
    assert len(load_records(folder("a")).images) == 2


@pytest.mark.slow
def test_more_images_go_on_with_fewer(options):
    run(*options, "--name=a", "--data.num_samples=3")
    run(*options, "--name=a")
    assert len(load_records(folder("a"), session=1).images) == IMAGES - 3
    assert results("a")["protocol"]["images"] == f"{IMAGES} of {IMAGES}"


@pytest.mark.slow
def test_overwrite_starts_afresh(unfinished, capsys):
    (folder("a") / "mine.txt").write_text("kept")
    run(*unfinished, "--name=a", "--overwrite", "--model.crop=64")
    assert results("a")["protocol"]["crop"] == 64
    assert len(load_records(folder("a"), session=0).images) == IMAGES
    assert (folder("a") / "mine.txt").exists()
    assert "overwrite: false" in (folder("a") / "config.yaml").read_text()


@pytest.mark.slow
def test_nothing_to_resume(options, capsys):
    assert "no run to go on with" in fails(capsys, *options, "--name=a", "--resume")
    assert "one of the two" in fails(capsys, *options, "--name=a", "--resume", "--overwrite")
    folder("b").mkdir(parents=True)
    (folder("b") / "results.json").write_text("{}")
    assert "no run.json" in fails(capsys, *options, "--name=b")
    (folder("b") / "results.json").unlink()
    (folder("b") / "run.json").write_text("{")
    assert "cannot be read" in fails(capsys, *options, "--name=b")


def test_part_of_the_batches_is_refused(options, capsys):
    assert "--data.num_samples" in fails(capsys, *options, "--trainer.limit_test_batches=2")


# Room, rights, images, workers


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes")
def test_no_room_left(options, capsys, monkeypatch):
    """A file may not grow beyond a limit: what the operating system refuses then is what a full disk refuses."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    scored = Recording.scored

    def tighter(self, *arguments):
        scored(self, *arguments)
        if self.added == 2:
            size = self._writer.path.stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))  # room for a part of a line

    try:
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ending:
            patch.setattr(Recording, "scored", tighter)
            run(*options, "--name=a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ending.value.code == 1
    error = capsys.readouterr().err
    assert "cannot be written" in error
    assert "go on from there" in error
    records = load_records(folder("a"))
    assert len(records.images) == 2
    assert records.damaged <= 1


@pytest.mark.slow
def test_no_room_for_results(unfinished, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "results.json")

    with monkeypatch.context() as patch:
        patch.setattr("sclip_lightning.reports.results.Results.save", full)
        error = fails(capsys, *unfinished, "--name=a")
    assert "No space left" in error
    assert f"{IMAGES} of {IMAGES} images are recorded" in error
    run(*unfinished, "--name=a")
    assert results("a")["protocol"]["images"] == f"{IMAGES} of {IMAGES}"


def test_records_cannot_be_written(options, capsys):
    folder("a").mkdir(parents=True)
    (folder("a") / "records").write_text("in the way")
    assert "records" in fails(capsys, *options, "--name=a")


@pytest.mark.slow
def test_unreadable_image_in_the_middle(own_images, whole, capsys):
    images, options = own_images
    image = sorted(images.iterdir())[3]
    content = image.read_bytes()
    image.write_bytes(content[:-200])
    assert image.name in fails(capsys, *options, "--name=a")
    assert len(load_records(folder("a")).images) == 3

    run(*options, "--name=a", "--data.on_error=skip")
    assert "Incomplete: 1 image could not be scored and was skipped" in capsys.readouterr().out
    found = results("a")
    assert found["protocol"]["images"] == f"{IMAGES - 1} of {IMAGES}"
    assert image.name in found["skipped"][image.stem]

    image.write_bytes(content)
    run(*options, "--name=a")
    assert results("a")["skipped"] == {}
    assert digits("a") == digits(whole)


def test_header_of_no_image_can_be_skipped_too(own_images, capsys):
    images, options = own_images
    for image in images.iterdir():
        image.write_text("no image")
    error = fails(capsys, *options, "--name=a", "--data.on_error=skip")
    assert "None of the 8 images could be scored" in error


@pytest.mark.slow
def test_worker_killed(options):
    process = start(*options, "--name=a", "--data.num_workers=1")
    wait_for_records(process, "a", 1)
    (worker,) = set(members(process.pid)) - {process.pid}
    os.kill(worker, signal.SIGKILL)
    assert process.wait(PATIENCE) == 1
    error = process.stderr.read()
    assert "Traceback" not in error
    assert "--data.num_workers" in error
    recorded = len(load_records(folder("a")).images)
    assert f"{recorded} of {IMAGES} images " in error


@pytest.mark.slow
def test_reading_hangs(options, monkeypatch, capsys):
    """As when a process that reads was forked at the wrong moment."""
    read = SegmentationDataset.__getitem__

    def hang(self, index):
        time.sleep(3 if index else 0)
        return read(self, index)

    monkeypatch.setattr(SegmentationDataset, "__getitem__", hang)
    monkeypatch.setattr("sclip_lightning.engine.datamodule.READING_TIME", 1.0)
    error = fails(capsys, *options, "--name=a", "--data.num_workers=1")
    assert "have handed over none for a long time (DataLoader timed out after 1.0 seconds)" in error
    assert "--data.num_workers 0" in error
    assert f"1 of {IMAGES} images is recorded" in error


# Ctrl-C


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["terminal", "first", "second", "timeout"])
def test_interrupted_once(options, whom):
    process = start(*options, "--trainer.devices=2", "--name=a", "--data.num_workers=1")
    wait_for_records(process, "a", 2)
    if whom == "terminal":  # every process of the group, those that read images included
        os.killpg(process.pid, signal.SIGINT)
    elif whom == "timeout":  # sends another signal, to the first process and to the group; scancel to the group only
        os.kill(process.pid, signal.SIGTERM)
        os.killpg(process.pid, signal.SIGTERM)
    else:
        os.kill(process.pid if whom == "first" else second_rank(process.pid), signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    error = process.stderr.read()
    wait_for_end_of_all(process.pid)
    assert "Traceback" not in error
    assert ("The run was told to stop (SIGTERM)." if whom == "timeout" else "Stopped at your request.") in error
    assert "memory" not in error
    assert "error:" not in error
    recorded = load_records(folder("a"))
    assert 2 <= len(recorded.images) < IMAGES
    assert recorded.damaged == 0
    assert f"{len(recorded.images)} of {IMAGES} images are recorded" in error
    run(*options, "--name=a")
    assert results("a")["protocol"]["images"] == f"{IMAGES} of {IMAGES}"


def second_rank(first):
    """The child of the first process that has a child, too: the one that reads its images."""
    parents = {pid: parent(pid) for pid in members(first)}
    (pid,) = [pid for pid in parents if parents[pid] == first and pid in parents.values()]
    return pid


def parent(pid):
    return int(re.search(r"PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


@pytest.mark.slow
def test_interrupted_twice(options):
    process = start(*options, "--trainer.devices=2", "--name=a")
    wait_for_records(process, "a", 2)
    os.kill(process.pid, signal.SIGSTOP)  # so that both signals meet the same image
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGCONT)
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    wait_for_end_of_all(process.pid)


@pytest.mark.slow
def test_two_runs_in_one_folder(options, capsys):
    code = "from pathlib import Path; from sclip_lightning.records.run_folder import locked\n"
    code += f"with locked(Path('{folder('a')}')): print('locked', flush=True); input()"
    command = [sys.executable, "-c", code]
    other = subprocess.Popen(command, env={"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"locked\n"
    assert "Another process" in fails(capsys, *options, "--name=a")
    other.kill()  # no lock outlives its process
    other.communicate()
    run(*options, "--name=a")


# Predictions


@pytest.mark.slow
def test_predictions(options, whole):
    kept = ["--predictions.labels=true", "--save_vis", "--predictions.probabilities=true"]
    run(*options, "--name=a", *kept)
    assert digits("a") == digits(whole)
    labels = sorted((folder("a") / "labels").iterdir())
    assert len(labels) == len(list((folder("a") / "overlays").iterdir())) == IMAGES
    with Image.open(labels[0]) as image:
        assert image.mode == "P"
        first = np.array(image)
    probabilities = np.load(folder("a") / "probabilities" / f"{labels[0].stem}.npy")
    assert probabilities.dtype == np.float16
    assert probabilities.shape == (21, *first.shape)
    assert probabilities.sum(0, dtype=np.float64).max() < 1.01  # of a class's synonyms only the likeliest counts
    of_label = np.take_along_axis(probabilities, first[None].astype(int), axis=0)[0]
    # 0 is also what is too uncertain for another class, and what is left of a class that is too small goes to the next.
    assert (first > 0).any()
    assert (of_label >= probabilities.max(0) - 1e-3)[first > 0].mean() > 0.9

    data_root = next(option for option in options if option.startswith("--data.root"))
    main(["score", "--predictions", str(folder("a") / "labels"), "--data=VOC21", data_root])
    assert results("score")["metrics"] == results("a")["metrics"]
    assert results("score")["classes"] == results("a")["classes"]


@pytest.mark.slow
def test_predictions_asked_for_later(options, whole):
    shutil.copytree(whole, folder("a"))
    before = digits("a")
    run(*options, "--name=a", "--predictions.labels=true")
    assert len(list((folder("a") / "labels").iterdir())) == IMAGES
    assert digits("a") == before
    next((folder("a") / "labels").iterdir()).unlink()
    run(*options, "--name=a", "--predictions.labels=true")
    assert len(list((folder("a") / "labels").iterdir())) == IMAGES
    assert len(load_records(folder("a"), session=2).images) == 1


@pytest.mark.slow
def test_panels_of_what_changed_most(options, whole, capsys):
    shutil.copytree(whole, folder("a"))
    run(*options, "--name=b", "--model.decoder.attention=vanilla", "--predictions.labels=true")
    command = ["compare", str(folder("a")), str(folder("b")), "--show_images=2", "--panels=changed"]
    with pytest.raises(SystemExit):
        main(command)
    assert "--predictions.labels true" in capsys.readouterr().err
    run(*options, "--name=a", "--predictions.labels=true")
    capsys.readouterr()
    main(command)
    assert "2 panels written to changed" in capsys.readouterr().out
    assert len(list(Path("changed").glob("2007_*.png"))) == 2


def test_predictions_cannot_be_written(options, capsys):
    folder("a").mkdir(parents=True)
    (folder("a") / "labels").write_text("in the way")
    error = fails(capsys, *options, "--name=a", "--predictions.labels=true")
    assert "labels" in error
    assert "--trainer.logger" in fails(capsys, *options, "--predictions.labels=true", "--trainer.logger=false")
