import pytest
import torch

from sclip_lightning.refine.graph.conjugate_gradient import conjugate_gradient
from tests.golden import Recording

GOLDEN = Recording("lposs")


def case():
    return GOLDEN.json()["unit/graph"]


def other_alphas():
    """By the key of a recording with another alpha, in hundredths: alpha30."""
    found = [match["percent"] for match in GOLDEN.matches("unit/graph/propagated_alpha{percent}")]
    assert found, "the recording has no unit/graph/propagated_alpha.."
    return {f"alpha{percent}": int(percent) / 100 for percent in found}


def recorded(key, dtype=torch.float64):
    return GOLDEN.tensor(f"unit/graph/{key}").to(dtype)


def solve(steps, alpha, dtype=torch.float64, columns=slice(None)):
    """Steps on the recorded graph."""
    matrix = torch.eye(len(recorded("Wn")), dtype=dtype) - alpha * recorded("Wn", dtype)
    return conjugate_gradient(lambda x: matrix @ x, recorded("logits", dtype)[:, columns], steps)


def assert_near(actual, expected, tolerance=1e-5):
    """Equal up to a share of the largest value, as the recording's README has it."""
    assert (actual.double() - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.golden
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_authors_iteration(dtype):
    others = [i for i in range(recorded("logits").shape[1]) if i != case()["zero_column"]]
    assert_near(solve(10, case()["alpha"], dtype), recorded("propagated"))
    for key, alpha in other_alphas().items():
        assert_near(solve(10, alpha, dtype), recorded(f"propagated_{key}"))
    counts = recorded("steps_counts").int().tolist()
    assert len(counts) > 1
    for count, expected in zip(counts, recorded("steps"), strict=True):
        assert_near(solve(count, case()["alpha"], dtype, others), expected)
    assert solve(10, case()["alpha"], dtype).dtype == dtype


@pytest.mark.golden
def test_a_column_of_zeros_gives_zeros():
    assert not recorded("logits")[:, case()["zero_column"]].any()
    for steps in (1, 10, 200):
        solved = solve(steps, case()["alpha"])
        assert not solved[:, case()["zero_column"]].any()
        assert solved.isfinite().all()


@pytest.mark.golden
def test_columns_stop_each_at_its_own_step():
    for key, alpha in other_alphas().items():
        stops = case()[f"cg_steps_{key}"]
        assert any(0 < stop < 10 for stop in stops)
        full = solve(10, alpha)
        for column, stop in enumerate(stops):
            assert torch.equal(solve(stop, alpha)[:, column], full[:, column])
            if stop:
                assert not torch.equal(solve(stop - 1, alpha)[:, column], full[:, column])


@pytest.mark.golden
def test_enough_steps_solve_it():
    assert_near(solve(1000, case()["alpha"]), recorded("exact"))
    # ... and ten do not: the number of steps is a part of the method.
    assert (recorded("propagated") - recorded("exact")).abs().max() > 1e-5 * recorded("exact").abs().max()


def system(size=30):
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64)
    return root @ root.T / size + torch.eye(size, dtype=torch.float64), generator


def test_columns_do_not_know_of_each_other():
    matrix, generator = system()
    columns = torch.randn(30, 3, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 1e-6, 1e6])
    together = conjugate_gradient(lambda x: matrix @ x, columns, 6)
    for i in range(3):
        alone = conjugate_gradient(lambda x: matrix @ x, columns[:, i : i + 1], 6)
        torch.testing.assert_close(together[:, i : i + 1], alone, rtol=1e-9, atol=0)


def test_it_ends_when_every_column_has_stopped():
    calls = []

    def identity(x):
        calls.append(1)
        return x

    columns = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    assert torch.equal(conjugate_gradient(identity, columns, 10), columns)
    assert len(calls) == 1
    assert columns.tolist() == [[1, 0], [2, 0]]


def test_the_tolerance_is_relative_to_the_column():
    matrix, generator = system()
    column = torch.randn(30, 1, generator=generator, dtype=torch.float64)
    for scale in (1.0, 1e-9, 1e9):
        solved = conjugate_gradient(lambda x: matrix @ x, column * scale, 100, tolerance=1e-3)
        error = (matrix @ solved - column * scale).norm() / (column * scale).norm()
        assert 1e-8 < error <= 1e-3
