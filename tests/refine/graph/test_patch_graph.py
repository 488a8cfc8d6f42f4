import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.refine.graph import patch_graph as module
from sclip_lightning.refine.graph.patch_graph import cell_centres, nearest_neighbours, patch_graph
from sclip_lightning.windows import window_grid
from tests.golden import Recording

GOLDEN = Recording("lposs")


def recorded(key):
    return GOLDEN.tensor(key)


def centres_of_boxes(boxes, grids, patch):
    """From the recorded windows, patch by patch."""
    places = [
        (float(top + patch * i + patch / 2), float(left + patch * j + patch / 2))
        for (top, _, left, _), (rows, columns) in zip(boxes.tolist(), grids.tolist(), strict=True)
        for i in range(rows)
        for j in range(columns)
    ]
    return torch.tensor(places)


def unit_graph():
    case = GOLDEN.json()["unit/graph"]
    boxes, grids = recorded("unit/graph/window_boxes_y1y2x1x2"), recorded("unit/graph/grid")
    centres = centres_of_boxes(boxes, grids, case["patch"])
    return patch_graph(recorded("unit/graph/features"), centres, case["k"], case["gamma"], case["sigma"])


def small_graph():
    case = GOLDEN.json()["small/lposs"]["hp"]
    boxes = recorded("small/window_boxes_y1y2x1x2")
    patch = GOLDEN.json()["_made"]["clip"]["patch"]
    centres = centres_of_boxes(boxes, recorded("small/grid").expand(len(boxes), 2), patch)
    return patch_graph(recorded("small/vfm_features"), centres, case["k"], case["gamma"], case["sigma"])


def dense(graph):
    return graph.product(torch.eye(len(graph.starts) - 1))


def assert_near(actual, expected):
    """Equal up to 5e-6 of the largest value, as the recording's README has it."""
    assert (actual.double() - expected.double()).abs().max() <= 5e-6 * expected.abs().max()


@pytest.mark.golden
def test_the_authors_graph():
    # Theirs drops the diagonal after W is recorded.
    assert_near(dense(unit_graph()), recorded("unit/graph/W").clone().fill_diagonal_(0))
    assert_near(dense(unit_graph().normalised()), recorded("unit/graph/Wn"))


@pytest.mark.golden
def test_the_authors_graph_of_an_image():
    graph = small_graph()
    expected = recorded("small/W_rows4").clone()
    expected[torch.arange(len(expected)), torch.arange(len(expected)) * 4] = 0
    assert_near(dense(graph)[::4], expected)
    assert_near(dense(graph).sum(dim=1), recorded("small/degree"))
    assert_near(dense(graph.normalised())[::4], recorded("small/Wn_rows4"))


@pytest.mark.golden
def test_a_patch_without_positive_neighbours_has_no_edges():
    node = GOLDEN.json()["unit/graph"]["isolated_node"]
    assert not dense(unit_graph())[node].any()
    assert dense(unit_graph().normalised()).isfinite().all()


def unit_features(nodes, width, seed=0):
    return F.normalize(torch.randn(nodes, width, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("block", [1, 50, 333, 2**22])
def test_rows_may_be_searched_in_any_blocks(monkeypatch, block):
    features = unit_features(45, 12)
    monkeypatch.setattr(module, "CPU_BLOCK", block)
    similarities, rows = nearest_neighbours(features, 7)
    expected = (features.double() @ features.double().T).sort(descending=True)
    assert torch.equal(rows.sort().values, expected.indices[:, :7].sort().values)
    torch.testing.assert_close(
        similarities.sort(descending=True).values, expected.values[:, :7].float(), atol=1e-6, rtol=0
    )


def test_fewer_nodes_than_neighbours():
    similarities, rows = nearest_neighbours(unit_features(3, 4), 400)
    assert similarities.shape == rows.shape == (3, 3)
    assert not dense(patch_graph(torch.ones(1, 1), torch.zeros(1, 2), 400, 3.0, 0.01)).any()


def test_equal_features_give_the_same_graph_every_time():
    features = torch.ones(30, 1)
    graphs = [dense(patch_graph(features, torch.zeros(30, 2), 5, 3.0, 0.01)) for _ in range(3)]
    assert torch.equal(graphs[0], graphs[1])
    assert torch.equal(graphs[0], graphs[2])
    assert torch.equal(graphs[0], graphs[0].T)


def test_weights_by_hand():
    features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [-1.0, 0.0]])
    centres = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    weight = 2 * 0.8**2 * torch.tensor(-0.1 * 5).exp()  # each chose the other
    expected = torch.zeros(3, 3)
    expected[0, 1] = expected[1, 0] = weight  # opposite features are not joined at all
    torch.testing.assert_close(dense(patch_graph(features, centres, 3, 2.0, 0.1)), expected)


@pytest.mark.parametrize(("size", "multiple"), [((60, 90), 1), ((60, 90), 16), ((20, 90), 16)])
def test_centres(size, multiple):
    grid = window_grid(*size, 40, 20, multiple)
    cells = (2, 3)
    rows, columns = (side / count for side, count in zip(grid.padded_size, cells, strict=True))
    (above, _), (left_of, _) = grid.margins
    expected = [
        (top - above + rows * (i + 0.5), left - left_of + columns * (j + 0.5))
        for top in grid.tops
        for left in grid.lefts
        for i in range(2)
        for j in range(3)
    ]
    torch.testing.assert_close(cell_centres(grid, cells), torch.tensor(expected))
