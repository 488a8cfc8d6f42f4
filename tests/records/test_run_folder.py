"""Who may write into a run's folder, what may be deleted there, and where it lies."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from sclip_lightning.errors import ConfigError, RunError
from sclip_lightning.files import PARTIAL, replacing
from sclip_lightning.records import RecordWriter, load_records
from sclip_lightning.records.run_folder import clear_run, locked, new_run_folder, open_run_folder, run_folder, tidy
from tests.records.synthetic import make_record, make_run

ROOT = Path(__file__).parents[2]
ON_UNIX = pytest.mark.skipif(sys.platform == "win32", reason="no locks on files")


@contextmanager
def another_process_in(folder):
    """A process that has locked a folder, until it is killed."""
    code = "from pathlib import Path; from sclip_lightning.records.run_folder import locked\n"
    code += f"with locked(Path({str(folder)!r})): print('locked', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"locked\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@ON_UNIX
def test_clearing_keeps_the_lock_that_another_waits_for(tmp_path):
    make_run(tmp_path / "a", images=2)
    lock = tmp_path / "a/records/.lock"
    with locked(tmp_path / "a"):
        file = lock.stat().st_ino
        tidy(tmp_path / "a", overwrite=True)
        assert lock.stat().st_ino == file
    assert load_records(tmp_path / "a").images == []
    assert not (tmp_path / "a/run.json").exists()


@ON_UNIX
def test_who_holds_a_folder_is_named(tmp_path):
    with another_process_in(tmp_path / "a") as other, pytest.raises(RunError, match=f"process \\({other.pid} on "):  # noqa: SIM117
        with locked(tmp_path / "a"):
            pass


def test_a_folder_that_never_held_a_run_is_not_cleared(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "config.yaml").write_text("mine")
    clear_run(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "labels"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["labels", "panels", "per_class.csv"])
def test_files_of_another_kind_are_not_written_over(tmp_path, name, overwrite):
    (tmp_path / "VOC21/a" / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match=f"holds {name}, but no run"):
        open_run_folder(str(tmp_path), "VOC21", "a", overwrite=overwrite)


def test_what_a_start_leaves_that_was_killed_at_once_is_no_hindrance(tmp_path):
    (tmp_path / "VOC21/a/records").mkdir(parents=True)
    (tmp_path / "VOC21/a/config.yaml").write_text("")
    assert open_run_folder(str(tmp_path), "VOC21", "a") == tmp_path / "VOC21/a"


def test_results_alone_are_a_run_that_may_be_cleared(tmp_path):
    folder = tmp_path / "VOC21/a"
    (folder / "labels").mkdir(parents=True)
    (folder / "results.json").write_text("{}")
    open_run_folder(str(tmp_path), "VOC21", "a", overwrite=True)
    tidy(folder, overwrite=True)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["../../x", "a/../../x", "/x", "", "."])
def test_a_name_stays_below_the_folder_of_all_runs(tmp_path, name):
    with pytest.raises(ConfigError, match="--name is"):
        run_folder(str(tmp_path), "VOC21", name)
    assert run_folder(str(tmp_path), "VOC21", "a-ablation/rcs") == tmp_path / "VOC21/a-ablation/rcs"


def test_what_killed_processes_leave_is_removed(tmp_path):
    folder = tmp_path / "a"
    make_run(folder, images=2)
    (folder / "labels").mkdir()
    left = [folder / f"labels/{PARTIAL}a-x1.png", folder / "records/.0000-rank1-done"]
    for path in left:
        path.write_bytes(b"")
    (folder / "labels/a.png").write_bytes(b"")
    tidy(folder)
    assert not any(path.exists() for path in left)
    assert (folder / "labels/a.png").exists()
    assert len(load_records(folder).images) == 2


def test_a_process_killed_while_it_writes_leaves_a_name_that_is_known(tmp_path):
    code = (
        "import os; from pathlib import Path; from sclip_lightning.files import replacing\n"
        f"with replacing(Path({str(tmp_path / 'a.png')!r})) as path: path.write_bytes(b'half'); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(PARTIAL)
    assert left.suffix == ".png"


def test_long_names_can_be_written(tmp_path):
    path = tmp_path / f"{'x' * 250}.png"
    with replacing(path) as temporary:
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"


def test_a_writer_stores_its_file_before_it_says_so(tmp_path, monkeypatch):
    stored = []
    monkeypatch.setattr("os.fsync", lambda handle: stored.append(Path(f"/proc/self/fd/{handle}").readlink()))
    if not Path("/proc/self/fd").exists():
        pytest.skip("reads /proc")
    writer = RecordWriter(tmp_path, 0, 0)
    writer.add(make_record(0))
    writer.close()
    assert stored == [tmp_path / "records", writer.path]
    stored.clear()
    with replacing(tmp_path / "a.txt") as path:
        path.write_text("whole")
    assert stored == [path, tmp_path]


def test_names_that_are_paths_are_numbered_too(tmp_path):
    made = [new_run_folder(str(tmp_path), "VOC21", "a/b") for _ in range(3)]
    assert made == [tmp_path / "VOC21/a" / name for name in ("b", "b-2", "b-3")]
