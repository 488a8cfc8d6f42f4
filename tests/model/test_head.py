"""The head against the published steps, taken one by one on the whole map."""

import pytest
import torch

from sclip_lightning.model.head import Head
from sclip_lightning.windows.grid import window_grid
from sclip_lightning.windows.merge import MergedLogits

CLASSES = torch.tensor([0, 0, 0, 1, 2, 2, 3])


def merged_logits(seed=0, sharpness=0.06):
    torch.manual_seed(seed)
    grid = window_grid(96, 128, 64, 32)
    logits = sharpness * torch.randn(len(grid), 4, 4, len(CLASSES))
    return MergedLogits(logits, grid, (75, 111))


def published(merged, head):
    """Softmax, synonym maximum, area filter, arg-max, threshold."""
    queries = (merged.full() * head.logit_scale).softmax(dim=0)
    classes = torch.stack([queries[c == CLASSES].amax(dim=0) for c in range(4)])
    if head.area_threshold > 0:
        areas = classes.argmax(dim=0).flatten().bincount(minlength=4)
        total = areas[1:].sum()
        for c in range(1, 4):
            if not areas[c] > head.area_threshold * total:
                classes[c] = 0
    confidence, labels = classes.max(dim=0)
    labels[confidence < head.prob_threshold] = 0
    return labels


@pytest.mark.parametrize("prob_threshold", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("area_threshold", [0.0, 0.2, 0.4, 0.99])
@pytest.mark.parametrize("logit_scale", [40.0, 65.0])
def test_labels_equal_the_published_steps(logit_scale, prob_threshold, area_threshold):
    head = Head(logit_scale, prob_threshold, area_threshold)
    for seed in range(3):
        merged = merged_logits(seed)
        assert torch.equal(head.labels(merged, CLASSES), published(merged, head))
        probabilities = head.probabilities(merged.full(), CLASSES)
        assert torch.equal(head.labels_from_probabilities(probabilities), published(merged, head))


def test_options_matter_here():
    """The comparison above would be empty if thresholds changed nothing on these maps."""
    merged = merged_logits()
    plain = Head(40.0).labels(merged, CLASSES)
    assert len(plain.unique()) == 4
    assert not torch.equal(plain, Head(40.0, 0.3).labels(merged, CLASSES))
    assert not torch.equal(plain, Head(40.0, 0.0, 0.4).labels(merged, CLASSES))


def test_probabilities_take_the_best_synonym():
    merged = merged_logits()
    queries = (merged.full() * 40).softmax(dim=0)
    expected = torch.stack([queries[:3].amax(0), queries[3], queries[4:6].amax(0), queries[6]])
    torch.testing.assert_close(Head(40.0).probabilities(merged.full(), CLASSES), expected)


@pytest.mark.parametrize("block", [1, 2**21])
def test_probabilities_band_by_band_are_those_of_the_whole_map(monkeypatch, block):
    merged, head = merged_logits(), Head(40.0)
    monkeypatch.setattr("sclip_lightning.model.head.CPU_BLOCK", block)
    assert torch.equal(head.merged_probabilities(merged, CLASSES), head.probabilities(merged.full(), CLASSES))
    monkeypatch.setattr("sclip_lightning.windows.merge.CPU_BLOCK", 5 * 111 * len(CLASSES))  # blocks across bands
    assert torch.equal(head.merged_probabilities(merged, CLASSES), head.probabilities(merged.full(), CLASSES))


def test_large_scales_do_not_overflow():
    labels = Head(1e4, 0.5).labels(merged_logits(sharpness=1.0), CLASSES)
    assert len(labels.unique()) == 4


def test_image_of_background_alone_stays_background():
    grid = window_grid(64, 64, 0, 1)
    logits = torch.zeros(1, 4, 4, len(CLASSES))
    logits[..., 1] = 1
    merged = MergedLogits(logits, grid, (9, 9))
    assert (Head(40.0, 0.1, 0.1).labels(merged, CLASSES) == 0).all()


@pytest.mark.parametrize("count", [127, 128, 150, 171])
def test_of_equally_high_queries_the_first_is_the_label(count):
    """Many queries are searched in groups, of which the last may be smaller."""
    torch.manual_seed(0)
    grid = window_grid(64, 64, 0, 1)
    logits = torch.randn(1, 8, 8, 40)[..., torch.randint(40, (count,))]
    merged = MergedLogits(logits, grid, (8, 8))
    image = merged.full()
    assert ((image == image.amax(dim=0)).sum(dim=0) > 1).any()
    expected = torch.stack([(image == image.amax(dim=0))[q] * (count - q) for q in range(count)]).amax(dim=0)
    own = torch.arange(count)
    assert torch.equal(Head(40.0).labels(merged, own), count - expected)
    maps = image.sub(image.min()).div_(image.max() - image.min())
    assert torch.equal(Head(40.0).labels_from_probabilities(maps), count - expected)
