"""What is said of a run that was stopped from outside."""

import json
import os
import signal
import sys

import pytest

from sclip_lightning.cli import main
from sclip_lightning.engine.behind import WAITING
from sclip_lightning.engine.interruption import StopRequest
from sclip_lightning.errors import RunError, StoppedError
from sclip_lightning.prediction import Prediction
from tests.fake_data import draw_labels, write_image

ON_UNIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")

#: Of images: more than those in hand when the second is being written.
NAMES = "abcdefgh"

TERMINATED = "DataLoader worker (pid 4) is killed by signal: Terminated. "
KILLED = "DataLoader worker (pid 4) is killed by signal: Killed. "


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError(TERMINATED), True),
        (RuntimeError(KILLED), False),
        (RuntimeError("signal: Terminated"), False),
        (ValueError(TERMINATED), False),
    ],
)
def test_sigterm_to_the_whole_group_is_no_lack_of_memory(error, told):
    assert StopRequest().told_by(error) == told


@pytest.mark.parametrize(
    ("error", "printed"),
    [(StoppedError("Stopped."), "\nStopped.\n"), (RunError("Wrong."), "\nerror: Wrong.\n")],
)
def test_to_be_stopped_is_no_error(error, printed, capsys, monkeypatch):
    def end(_):
        raise error

    monkeypatch.setattr("sclip_lightning.commands.report.run_report", end)
    with pytest.raises(SystemExit) as ending:
        main(["report"])
    assert ending.value.code == error.exit_code
    assert capsys.readouterr().err == printed


@pytest.fixture
def ended(monkeypatch):
    """Whether the process would have ended at once."""
    ended = []
    monkeypatch.setattr("os._exit", ended.append)
    return ended


@ON_UNIX
@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ((signal.SIGTERM, signal.SIGTERM), "The run was told to stop (SIGTERM)."),  # timeout
        ((signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR1), "The run was told to stop (SIGTERM)."),  # another was faster
        ((signal.SIGUSR1, signal.SIGINT), "Stopped at your request."),
        ((signal.SIGINT, signal.SIGUSR1), "Stopped at your request."),
    ],
)
def test_one_request_may_come_as_several_signals(ended, numbers, reason):
    """What is in hand is finished: only a second Ctrl-C ends the process at once."""
    stop = StopRequest()
    with stop.listen():
        stop.begin_images()
        stop.check()
        for number in numbers:
            os.kill(os.getpid(), number)
        with pytest.raises(StoppedError):
            stop.check()
        assert stop.reason == reason
        assert not ended
        os.kill(os.getpid(), signal.SIGINT)
        assert bool(ended) == (signal.SIGINT in numbers)


@ON_UNIX
def test_told_to_stop_before_the_first_image(ended):
    stop = StopRequest()
    with stop.listen():
        with pytest.raises(StoppedError):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # of timeout, while the first is being answered
        assert stop.reason == "The run was told to stop (SIGTERM)."


@pytest.mark.slow
@ON_UNIX
@pytest.mark.parametrize(("number", "said"), [(signal.SIGTERM, "told to stop (SIGTERM)"), (signal.SIGINT, "request")])
def test_predict_that_is_stopped_leaves_whole_files(tmp_path, tiny_clip, capsys, monkeypatch, number, said):
    (tmp_path / "photos").mkdir()
    for name in NAMES:
        write_image(tmp_path / f"photos/{name}.jpg", draw_labels((48, 64), 21, seed=0))
    save, out = Prediction.save, tmp_path / "out"

    def save_and_stop(self, path):
        save(self, path)
        if path.stem == "b":
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Prediction, "save", save_and_stop)
    small = [f"--model.architecture={tiny_clip}", "--model.templates=none", "--device=cpu", "--short_side=64"]
    with pytest.raises(SystemExit) as ending:
        main(["predict", f"--images={tmp_path / 'photos'}", "--classes=grass, sky", f"--output_dir={out}", *small])
    assert ending.value.code == 130
    error = capsys.readouterr().err
    assert said in error
    assert f"What was done before lies in {out}" in error
    assert "Traceback" not in error
    done = [row.split(",")[1] for row in (out / "shares.csv").read_text().splitlines()[1:]]
    assert f"({len(done)} of {len(NAMES)} images are done): the same command goes on from there" in error
    # The images in hand were finished: the one that was being written, those that waited and the network's.
    assert "".join(done) == NAMES[: len(done)]
    assert 2 <= len(done) <= 2 + WAITING + 1
    for kind in ("labels", "overlays"):
        assert sorted(file.stem for file in (out / kind).iterdir()) == done
    assert json.loads((out / "settings.json").read_text())["state"] == "unfinished"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
