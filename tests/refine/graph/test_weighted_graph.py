import torch

from sclip_lightning.refine.graph.weighted_graph import WeightedGraph


def random_edges(nodes, edges):
    """Directed edges, some of them twice, none at node 2 and at the last one."""
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(nodes - 1, (2, edges), generator=generator)
    ends = ends[:, (ends != 2).all(dim=0)]
    weights = torch.rand(ends.shape[1], generator=generator)
    dense = torch.zeros(nodes, nodes, dtype=torch.float64)
    for source, target, weight in zip(*ends.tolist(), weights.double(), strict=True):
        dense[source, target] += weight
        dense[target, source] += weight
    return WeightedGraph.symmetric(*ends, weights, nodes), dense


def test_both_directions_are_added():
    graph = WeightedGraph.symmetric(torch.tensor([0, 1, 2]), torch.tensor([1, 0, 1]), torch.tensor([1.0, 2.0, 4.0]), 4)
    expected = [[0, 3, 0, 0], [3, 0, 4, 0], [0, 4, 0, 0], [0, 0, 0, 0]]
    assert graph.product(torch.eye(4)).tolist() == expected


def test_product():
    graph, dense = random_edges(20, 70)
    columns = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(graph.product(columns).double(), dense @ columns.double(), atol=1e-6, rtol=1e-5)


def test_normalised_with_nodes_that_have_no_edge():
    graph, dense = random_edges(20, 70)
    degrees = dense.sum(dim=1)
    assert (degrees == 0).sum() == 2
    degrees[degrees == 0] = 1
    expected = dense / (degrees[:, None] * degrees).sqrt()
    torch.testing.assert_close(graph.normalised().product(torch.eye(20)).double(), expected, atol=1e-6, rtol=1e-5)


def test_no_edges_at_all():
    none = torch.zeros(0, dtype=torch.int64)
    graph = WeightedGraph.symmetric(none, none, torch.zeros(0), 3).normalised()
    assert torch.equal(graph.product(torch.ones(3, 2)), torch.zeros(3, 2))


def test_weights_that_vanish_are_like_no_edge():
    graph = WeightedGraph.symmetric(torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([0.0, 3.0]), 3)
    expected = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    torch.testing.assert_close(graph.normalised().product(torch.eye(3)), expected)
