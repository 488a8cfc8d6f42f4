import torch

from sclip_lightning.decoding.affinity.line_of_sight import in_sight, lines_between_patches
from sclip_lightning.decoding.feedback import SemanticFeedback, patch_affinity, patch_labels
from tests.recordings import RESCLIP


def labels_of(grid):
    labels = RESCLIP.tensor(f"unit/sfr/{grid}/labels")
    return labels.reshape(1, -1), tuple(labels.shape)


@RESCLIP.each("unit/sfr/{grid}/valid")
def test_sight_matches_the_recording(grid):
    labels, cells = labels_of(grid)
    visible = in_sight(labels, lines_between_patches(*cells, labels.device))[0]
    same = labels[0][:, None] == labels[0]
    recorded = RESCLIP.tensor(f"unit/sfr/{grid}/valid")
    assert torch.equal(visible & same, recorded & same)


@RESCLIP.each("unit/sfr/{grid}/attn_delete{delete}_std{std}")
def test_affinity_matches_the_recording(grid, delete, std):
    labels, cells = labels_of(grid)
    affinity = patch_affinity(labels, cells, float(std), delete == "1")[0]
    recorded = RESCLIP.tensor(f"unit/sfr/{grid}/attn_delete{delete}_std{std}")
    torch.testing.assert_close(affinity, recorded[1:, 1:], atol=1e-6, rtol=0)
    assert (recorded[0] == 0).all()
    assert (recorded[:, 0] == 0).all()


def test_sight_by_hand():
    """One row of nine, sampled every 1/8: a line of three patches is followed for 3/8 of its length only."""
    labels = torch.tensor([[0, 0, 1, 0, 0, 0, 0, 0, 0]])
    visible = in_sight(labels, lines_between_patches(1, 9, labels.device))[0]
    assert visible[0, 3]  # patches 0, 0, 1, 1 are looked at
    assert not visible[3, 0]  # 3, 3, 2
    assert not visible[0, 8]  # all of it


def test_one_patch():
    affinity = patch_affinity(torch.zeros(2, 1, dtype=torch.int64), (1, 1), 5.0)
    torch.testing.assert_close(affinity, torch.ones(2, 1, 1))


def test_lines_are_made_once_per_grid():
    device = torch.device("cpu")
    assert lines_between_patches(7, 5, device) is lines_between_patches(7, 5, device)


def slow_patch_labels(probabilities, cells, patch, threshold):
    """Arg-max, threshold, most frequent label per patch; one patch at a time."""
    confidence, label = probabilities.max(dim=0)
    label[confidence < threshold] = 0
    blocks = [
        label[y * patch : (y + 1) * patch, x * patch : (x + 1) * patch].flatten().bincount()
        for y in range(cells[0])
        for x in range(cells[1])
    ]
    return torch.stack([block.argmax() for block in blocks])


def test_most_frequent_query_wins():
    """Without neighbours to average over, the first pass is plain: softmax, threshold, mode."""
    torch.manual_seed(0)
    logits = torch.randn(2, 12, 5) * 0.05
    images = torch.zeros(2, 3, 50, 70)
    images[:, :, 20:] = 1
    labels = patch_labels(logits, images, (3, 4), (16, 16), 40.0, 0.3)
    assert labels.shape == (2, 12)
    from sclip_lightning.refine.pamr import pamr

    maps = torch.nn.functional.interpolate(logits.mT.reshape(2, 5, 3, 4), (50, 70), mode="bilinear")
    probabilities = (pamr(maps, images) * 40).softmax(dim=1)
    expected = torch.stack([slow_patch_labels(p, (3, 4), 16, 0.3) for p in probabilities])
    assert torch.equal(labels, expected)


def test_windows_at_once_equal_one_by_one(example):
    torch.manual_seed(0)
    windows = torch.cat([example.image[..., :96, :112], example.image[..., 100:196, 200:312]])
    logits = torch.randn(2, 42, 8) * 0.02 + 0.2
    feedback = SemanticFeedback(1.8, 0.7, 0.25, 40.0)
    together = feedback.bias(logits, windows, (6, 7), (16, 16))
    alone = [feedback.bias(logits[i : i + 1], windows[i : i + 1], (6, 7), (16, 16)) for i in range(2)]
    assert together.shape == (2, 1, 43, 43)
    torch.testing.assert_close(together, torch.cat(alone))
