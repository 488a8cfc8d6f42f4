"""What a test says on the terminal, in which order, and which labels it keeps for its panels."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sclip_lightning.cli import main
from sclip_lightning.engine.behind import Behind
from sclip_lightning.engine.callbacks.announcer import in_words
from sclip_lightning.engine.callbacks.kept_labels import KEPT, KeptLabels, delete_handed, handed_file, read_handed
from sclip_lightning.engine.callbacks.ranked_panels import RankedPanels
from sclip_lightning.engine.module import SegmentationModule
from sclip_lightning.engine.recording import Recording
from tests.fake_data import write_voc

pytestmark = [pytest.mark.usefixtures("plain_board"), pytest.mark.slow]


@pytest.fixture
def options(tiny_clip, tmp_path, monkeypatch):
    write_voc(tmp_path / "data", 13)
    monkeypatch.chdir(tmp_path)
    return [
        "test",
        *("--config", "baseline.yaml", "--data", "VOC21", f"--data.root={tmp_path / 'data'}"),
        *("--data.short_side=64", "--data.num_workers=0", f"--model.architecture={tiny_clip}"),
        *("--model.templates=none", "--model.crop=48", "--model.stride=32", "--trainer.accelerator=cpu"),
        *("--trainer.devices=1", "--trainer.enable_progress_bar=false", "--panels.count=1"),
    ]


def test_a_run_says_what_it_does_from_beginning_to_end(options, capsys, monkeypatch):
    monkeypatch.setattr(SegmentationModule, "segment_again", lambda *_: pytest.fail("segmented again"))
    main([*options, "--model.refiners", "[PAMR]"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "VOC21: 13 images, 21 classes",
        "Device: 1 x cpu, precision 32-true",
        "Parts: LastBlock, sclip, PAMR",
        "Results go to lightning_logs/VOC21/baseline",
    ]
    text = "\n".join(lines)
    order = ["to go for 9 of 13 batches", "mIoU", "Written to", "Drawing pictures", "Pictures are in", "tensorboard --"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert len(list(Path("lightning_logs/VOC21/baseline/ranked_panels").iterdir())) == 4


def test_results_are_there_before_pictures(options, capsys, monkeypatch):
    def fail(*_, **__):
        assert Path("lightning_logs/VOC21/baseline/results.json").is_file()
        assert "mIoU" in capsys.readouterr().out
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        for name in ("ranked_panels.draw_panel", "tensorboard.draw_confusion"):
            patched.setattr(f"sclip_lightning.engine.callbacks.{name}", fail)
        with pytest.raises(SystemExit):
            main(options)
    assert not Path("lightning_logs/VOC21/baseline/ranked_panels").exists()
    main(options)  # what was interrupted is made good
    assert len(list(Path("lightning_logs/VOC21/baseline/ranked_panels").iterdir())) == 4
    capsys.readouterr()
    main(options)  # and not once more
    assert "Drawing" not in capsys.readouterr().out


def test_a_run_that_goes_on_says_how_much_is_done_and_segments_again_what_it_must(options, capsys, monkeypatch):
    main([*options, "--data.num_samples=5", "--ranked_panels.worst=0", "--ranked_panels.median=0"])
    capsys.readouterr()
    again = []
    segment_again = SegmentationModule.segment_again
    monkeypatch.setattr(SegmentationModule, "segment_again", lambda *a: again.append(1) or segment_again(*a))
    main([*options, "--ranked_panels.worst=13", "--ranked_panels.median=0"])
    assert capsys.readouterr().out.splitlines()[0] == "VOC21: 13 images, 5 of them done before, 21 classes"
    assert len(again) == 5


def test_kept_labels_are_few_and_hold_the_worst_and_the_middle():
    generator = np.random.default_rng(0)
    scores = generator.permutation(1000) / 1000
    kept = KeptLabels(worst=3)
    for index, score in enumerate(scores):
        kept.add(index, score, np.full((2, 3), index))
    order = np.argsort(scores)
    for index in (*order[:3], *order[498:502]):
        np.testing.assert_array_equal(kept.of(index), np.full((2, 3), index))
    assert sum(kept.of(index) is not None for index in range(1000)) == 3 + KEPT
    kept.add(1000, float("nan"), np.zeros((1, 1), np.int64))
    assert kept.of(1000) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 second"), (80, "80 seconds"), (125, "2 minutes"), (7000, "2 hours")]
)
def test_spans_in_words(seconds, words):
    assert in_words(seconds) == words


def test_labels_are_handed_over_in_files(tmp_path):
    """Of two processes, with more than 256 classes in one of them; what is not asked for is dropped with the files."""
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, classes, (5, 7)) for classes in (20, 300, 20, 20)]
    for rank in (1, 2):
        kept = KeptLabels(worst=1)
        for index in (rank - 1, rank + 1):
            kept.add(index, 0.5, labels[index])
        kept.save(handed_file(tmp_path / "ranked", rank))
    KeptLabels(worst=1).save(handed_file(tmp_path / "ranked", 3))  # without images there is nothing to leave
    assert len(list((tmp_path / "ranked").iterdir())) == 2
    found = read_handed(tmp_path / "ranked", {1, 3})
    assert found.keys() == {1, 3}
    for index in found:
        np.testing.assert_array_equal(found[index], labels[index])
    delete_handed(tmp_path / "ranked")
    assert list((tmp_path / "ranked").iterdir()) == []


def test_labels_of_another_process_need_not_be_made_again(options, monkeypatch):
    """The other one's part: all that was scored is left by a callback of rank 1, before that says it is done."""
    monkeypatch.setattr(SegmentationModule, "segment_again", lambda *_: pytest.fail("segmented again"))
    folder = Path("lightning_logs/VOC21/baseline")
    here, arrive, add = RankedPanels(), Recording.arrive, KeptLabels.add
    second = SimpleNamespace(is_first=False, folder=folder, ranks=SimpleNamespace(rank=1), behind=Behind())

    def other_is_done(self):
        with monkeypatch.context() as patch:
            patch.setattr("sclip_lightning.engine.callbacks.ranked_panels.run_context", lambda _: second)
            here.on_test_epoch_end(None, None)
        arrive(self)

    monkeypatch.setattr(KeptLabels, "add", lambda _, *arguments: add(here._kept, *arguments))
    monkeypatch.setattr(Recording, "arrive", other_is_done)
    main(options)
    files = [path.name for path in (folder / "ranked_panels").iterdir()]
    assert sorted(name[:6] for name in files) == ["median", "worst-", "worst-", "worst-"]


def test_labels_of_a_session_that_failed_are_deleted(tmp_path, monkeypatch):
    left = handed_file(tmp_path / "ranked_panels", 1)
    left.parent.mkdir()
    left.touch()
    for is_first in (False, True):
        assert left.exists()
        context = SimpleNamespace(is_first=is_first, folder=tmp_path, each_image=[])
        monkeypatch.setattr("sclip_lightning.engine.callbacks.ranked_panels.run_context", lambda _, c=context: c)
        RankedPanels().on_test_start(None, None)
    assert not left.exists()
