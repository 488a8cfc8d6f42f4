"""What is said of a run that was stopped from outside."""

import pytest

from sclip_lightning.cli import main
from sclip_lightning.engine.interruption import StopRequest
from sclip_lightning.errors import RunError, StoppedError

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
