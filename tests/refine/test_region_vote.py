from dataclasses import replace

import numpy as np
import pytest
import torch

from sclip_lightning.data.reading.regions import SegmentMaps
from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.refine import RegionVote
from sclip_lightning.refine.region_vote import region_vote
from sclip_lightning.windows import Scene, Texts, Windows, window_grid
from tests.golden import Recording

GOLDEN = Recording("regionvote")


def recorded(case):
    """Labels before and after, segments, all int64, and the number of classes."""
    maps = (GOLDEN.tensor(f"{case}/{key}").long() for key in ("labels_before", "labels", "segments"))
    return *maps, int(GOLDEN[f"{case}/query_idx"].max()) + 1


def scene(segments, size):
    pixels = torch.zeros(3, 8, 8)
    texts = Texts(torch.eye(3), torch.arange(3))
    return Scene(pixels, size, Windows(pixels, window_grid(8, 8, 0, 1), 1), texts, regions=segments)


def by_loop(labels, segments, classes, unassigned):
    """One segment after the other, as described."""
    ids = sorted(set(segments.flatten().tolist()))
    keeps = ids[0] if unassigned == "smallest" else unassigned
    voted = labels.clone()
    for number in ids:
        if number == keeps:
            continue
        inside = segments == number
        found = labels[inside].tolist()
        voted[inside] = max(range(classes), key=lambda label: (found.count(label), -label))
    return voted


@GOLDEN.each("{case}/labels_before")
def test_the_authors_labels(case):
    before, after, segments, classes = recorded(case)
    assert torch.equal(region_vote(before, segments, classes), after)
    # Naming the smallest number is the same rule.
    assert torch.equal(region_vote(before, segments, classes, unassigned=int(segments.min())), after)
    # As a step it gets by without being told the number of classes.
    assert torch.equal(RegionVote()(before, scene(segments, before.shape)), after)


@GOLDEN.each("{case}/labels_before")
def test_the_authors_labels_by_way_of_a_file(case, tmp_path):
    before, after, segments, classes = recorded(case)
    np.savez_compressed(tmp_path / "image.npz", instance_mask=segments.numpy().astype(np.int32))
    read = torch.from_numpy(SegmentMaps(tmp_path).read(("image",), before.shape))
    assert torch.equal(region_vote(before, read, classes), after)


@pytest.mark.golden
def test_recordings_have_what_is_hard():
    changed, tied, large, full = 0, 0, 0, 0
    for case in [match["case"] for match in GOLDEN.matches("{case}/labels_before")]:
        before, after, segments, classes = recorded(case)
        changed += int((before != after).sum())
        large += int(segments.max() > 65535)
        full += not torch.equal(region_vote(before, segments, classes, None), after)
        for number in segments.unique()[1:]:
            counts = before[segments == number].bincount(minlength=classes)
            tied += int((counts == counts.max()).sum() > 1)
    assert min(changed, tied, large, full) > 0


@pytest.mark.parametrize("unassigned", ["smallest", None, -3, 7, 70000, 12345])
@pytest.mark.parametrize(("height", "width", "numbers", "classes"), [(13, 17, 9, 4), (1, 40, 15, 2), (9, 1, 3, 30)])
def test_it_is_the_plain_loop(height, width, numbers, classes, unassigned):
    generator = torch.Generator().manual_seed(height)
    ids = torch.tensor([-3, -1, 0, 7, 256, 65535, 65536, 70000, 2**31 + 5, 2**40, 1, 2, 3, 4, 5])[:numbers]
    for _ in range(5):
        labels = torch.randint(classes, (height, width), generator=generator)
        segments = ids[torch.randint(numbers, (height, width), generator=generator)]
        voted = region_vote(labels, segments, classes, unassigned)
        assert voted.dtype == torch.int64
        assert torch.equal(voted, by_loop(labels, segments, classes, unassigned))


def test_of_equal_counts_the_smallest_label_wins():
    labels = torch.tensor([[5, 2, 5, 2], [4, 3, 1, 0]])
    segments = torch.tensor([[1, 1, 1, 1], [2, 2, 2, 2]])
    assert region_vote(labels, segments, 6, None).tolist() == [[2] * 4, [0] * 4]


def test_segments_need_not_be_connected():
    labels = torch.tensor([[1, 1, 2], [2, 2, 1]])
    segments = torch.tensor([[4, 4, 0], [0, 0, 4]])
    assert region_vote(labels, segments, 3, None).tolist() == [[1, 1, 2], [2, 2, 1]]
    labels[1, 2] = 0
    assert region_vote(labels, segments, 3, None).tolist() == [[1, 1, 2], [2, 2, 1]]


def test_ids_that_16_bits_would_join_stay_apart():
    labels = torch.tensor([[1, 1, 1, 2, 2]])
    segments = torch.tensor([[70001, 70001, 70001, 70001 - 65536, 70001 - 65536]])
    assert region_vote(labels, segments, 3, None).tolist() == labels.tolist()


def test_a_single_number_changes_nothing_unless_all_vote():
    labels = torch.tensor([[1, 1, 2]])
    segments = torch.full((1, 3), 9)
    assert region_vote(labels, segments, 3).tolist() == [[1, 1, 2]]
    assert region_vote(labels, segments, 3, unassigned=0).tolist() == [[1, 1, 1]]
    assert region_vote(labels, segments, 3, unassigned=None).tolist() == [[1, 1, 1]]


def test_narrow_integer_maps_and_inputs_left_alone():
    labels, segments = torch.tensor([[1, 1, 0]]), torch.tensor([[3, 3, 3]], dtype=torch.int16)
    assert RegionVote(None)(labels, scene(segments, (1, 3))).tolist() == [[1, 1, 1]]
    assert labels.tolist() == [[1, 1, 0]]
    assert segments.tolist() == [[3, 3, 3]]


def test_autocast_has_no_effect():
    # 1001 to 1000: in bfloat16 both are 1000.
    labels = torch.cat([torch.zeros(1000), torch.ones(1001)]).long()[None]
    with torch.autocast("cpu", torch.bfloat16):
        voted = region_vote(labels, torch.ones_like(labels), 2, None)
    assert torch.equal(voted, torch.ones_like(labels))


def test_without_regions():
    with pytest.raises(ConfigError, match=r"--model\.refiners has RegionVote.*no segment map.*take RegionVote out"):
        RegionVote()(torch.zeros(4, 5, dtype=torch.int64), scene(None, (4, 5)))


def test_regions_of_another_size():
    with pytest.raises(DataError, match=r"segment map has 5 x 4 pixels, the labels 4 x 5"):
        RegionVote()(torch.zeros(4, 5, dtype=torch.int64), scene(torch.zeros(5, 4, dtype=torch.int64), (4, 5)))


def test_a_wrong_word_is_refused():
    with pytest.raises(ConfigError, match=r"--model\.refiners: RegionVote's unassigned is 'largest'.*smallest"):
        RegionVote("largest")
    assert replace(RegionVote(), unassigned=0) == RegionVote(0)
