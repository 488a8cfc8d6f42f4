"""The graph of pixels against the recording of its authors' code and against full matrices."""

import pytest
import torch

from sclip_lightning.refine.graph.pixel_graph import lab, pixel_graph, system
from sclip_lightning.refine.lposs_plus import image_graph
from tests.lposs import GOLDEN, GRAPH, assert_near, image, numbers

#: Rows and columns from the first on and every so many that the recording keeps.
START, STEP = 3, 8


def kept(columns, size):
    """[Q, h, w] of columns [H * W, Q], where the recording keeps them."""
    return columns.view(*size, -1).permute(2, 0, 1)[:, START::STEP, START::STEP]


def dense(graph):
    """The matrix itself, by products with the identity."""
    return graph.product(torch.eye(graph.size[0] * graph.size[1]))


@GOLDEN.each("unit/lab/lab")
def test_lab_of_single_colours():
    rgb = GOLDEN.tensor("unit/lab/rgb_u8").float() / 255
    assert_near(lab(rgb.T[:, None]).squeeze(1).T, GOLDEN.tensor("unit/lab/lab"), GRAPH)


@GOLDEN.each("unit/pixel/lab")
def test_lab_of_an_image():
    rgb = GOLDEN.tensor("unit/pixel/image_u8").permute(2, 0, 1).float() / 255
    assert_near(lab(rgb), GOLDEN.tensor("unit/pixel/lab"), GRAPH)


@GOLDEN.each("small/lab")
def test_the_authors_graph_of_an_image():
    """Scaled colours, row sums, and weights to some neighbours before and after they are normalised."""
    hp, pixels = numbers("small/lposs_plus")["hp"], image("small/lposs_plus")
    size = tuple(pixels.shape[1:])
    rgb = GOLDEN.tensor("small/image_u8").permute(2, 0, 1).float() / 255
    scaled = lab(rgb) / torch.tensor([100.0, 128, 128])[:, None, None]
    assert_near(scaled[:, START::STEP, START::STEP].permute(1, 2, 0), GOLDEN.tensor("small/lab"), GRAPH)

    graph = image_graph(pixels, hp["r"], hp["tau"])
    degrees = graph.product(torch.ones(size[0] * size[1], 1))
    assert_near(kept(degrees, size)[0], GOLDEN.tensor("small/pixel_degree"), GRAPH)
    assert_near(weights_to_neighbours(graph), GOLDEN.tensor("small/pixel_weights"), GRAPH)
    normalised = -weights_to_neighbours(system(graph, hp["alpha"])) / hp["alpha"]
    assert_near(normalised, GOLDEN.tensor("small/pixel_weights_normalised"), GRAPH)


def weights_to_neighbours(graph):
    """[offsets, h, w]: of the pixels that the recording keeps the weight to the one at each offset, 0 outside.

    A column that is 1 at one pixel gives the weights of all its neighbours to it; pixels far from each other share one.
    """
    (height, width), offsets = graph.size, GOLDEN["small/pixel_offsets_dydx"].tolist()
    rows, columns = range(START, height, STEP), range(START, width, STEP)
    apart = -(-(2 * graph.reach + 1) // STEP)
    ones = torch.zeros(height, width, apart**2)
    share = {(i, j): i % apart * apart + j % apart for i in range(len(rows)) for j in range(len(columns))}
    for (i, j), column in share.items():
        ones[rows[i], columns[j], column] = 1
    product = graph.product(ones.view(height * width, -1)).view(height, width, -1)
    found = torch.zeros(len(offsets), len(rows), len(columns))
    for number, (dy, dx) in enumerate(offsets):
        for (i, j), column in share.items():
            y, x = rows[i] + dy, columns[j] + dx
            if 0 <= y < height and 0 <= x < width:
                found[number, i, j] = product[y, x, column]
    return found


def by_pairs(colours, neighbours, tau):
    """W, pair by pair, in float64."""
    _, height, width = colours.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    expected = torch.zeros(height * width, height * width, dtype=torch.float64)
    for i, (y, x) in enumerate(places):
        for j, (v, u) in enumerate(places):
            if i != j and max(abs(y - v), abs(x - u)) <= neighbours // 2:
                distance = (colours[:, y, x].double() - colours[:, v, u].double()).norm()
                expected[i, j] = (-distance / tau).exp()
    return expected


@pytest.mark.parametrize("size", [(5, 9), (3, 4), (6, 2), (1, 7), (7, 1), (1, 1)])
@pytest.mark.parametrize("neighbours", [1, 3, 4, 5])
def test_every_size_and_reach(size, neighbours):
    colours = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    graph, expected = pixel_graph(colours, neighbours, 0.5), by_pairs(colours, neighbours, 0.5)
    torch.testing.assert_close(dense(graph).double(), expected, atol=1e-6, rtol=0)
    degrees = expected.sum(dim=1)
    degrees[degrees == 0] = 1
    one = torch.eye(len(expected), dtype=torch.float64)
    expected = one - 0.9 * expected / (degrees[:, None] * degrees).sqrt()
    torch.testing.assert_close(dense(system(graph, 0.9)).double(), expected, atol=1e-6, rtol=0)


def test_far_colours_are_not_joined():
    """Their weights underflow: rows without any are those of the identity."""
    colours = torch.zeros(3, 4, 6)
    colours[0, :, 3:] = 5
    colours[1, 2, 4] = 9
    found = dense(system(pixel_graph(colours, 3, 0.01), 0.95))
    place = 2 * 6 + 4
    assert torch.equal(found[place], torch.eye(24)[place])
    assert found.isfinite().all()
    assert not found.view(4, 6, 4, 6)[:, :3, :, 3:].any()
