"""Least squares: formulas, optimum, and bits that depend on nothing but the node's own data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet

from gossip.workloads import LeastSquares, LogisticRegression
from gossip.workloads.linear.model import einsum_by_row


def problem(n=3, m=7, d=4, seed=0, **weights):
    draw = np.random.default_rng(seed)
    return LeastSquares(draw.standard_normal((n, m, d)), draw.standard_normal((n, m)), **weights)


def gradient_of_smooth_part(workload, x):
    """Of (1/n) sum_i f_i at x (d,), by an independent formula."""
    A, b = np.asarray(workload.features), np.asarray(workload.targets)
    n, m, d = A.shape
    A, b = A.reshape(n * m, d), b.reshape(n * m)
    return A.T @ (A @ x - b) / (n * m) + workload.l2 * x


def test_gradients_and_losses_are_the_formula():
    workload = problem(l2=0.3)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 4)))
    nodes, batch = [2, 0], torch.tensor([[1, 6, 1], [0, 5, 3]])
    for examples in (None, batch):
        sample = workload.gradient(x, nodes, examples)
        assert sample.gradient.dtype == sample.loss.dtype == torch.float64
        for row, node in enumerate(nodes):
            rows = slice(None) if examples is None else examples[row].numpy()
            A, b, y = workload.features[node][rows], workload.targets[node][rows], x[row].numpy()
            residual = A @ y - b
            assert sample.loss[row] == pytest.approx(residual @ residual / (2 * len(b)) + 0.15 * y @ y, rel=1e-12)
            expected = A.T @ residual / len(b) + 0.3 * y
            np.testing.assert_allclose(sample.gradient[row].numpy(), expected, rtol=1e-12, atol=1e-14)


def test_gradient_is_the_derivative_of_the_loss():
    workload = problem(l2=0.1)
    x = torch.linspace(-1, 1, 4, dtype=torch.float64)[None]
    gradient = workload.gradient(x, [1]).gradient[0]
    for i in range(4):
        step = torch.zeros_like(x)
        step[0, i] = 1e-6
        up, down = (workload.gradient(x + s, [1]).loss[0] for s in (step, -step))
        assert float(up - down) / 2e-6 == pytest.approx(float(gradient[i]), rel=1e-7)


@given(
    st.integers(1, 12),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2**32),
    st.booleans(),
    st.booleans(),
    st.data(),
)
@settings(max_examples=300, deadline=None)
def test_bits_do_not_depend_on_the_other_nodes(n, m, d, seed, minibatch, compiled, data):
    workload = problem(n, m, d, seed, l2=0.01)
    workload._model._compiled = compiled
    draw = np.random.default_rng(seed)
    x = torch.from_numpy(draw.standard_normal((n, d)))
    examples = torch.from_numpy(draw.integers(0, m, (n, 5))) if minibatch else None
    together = workload.gradient(x, range(n), examples)
    nodes = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n))
    parts = [nodes, [nodes[0]], range(nodes[0], n)]
    for part in parts:
        rows = torch.tensor(part)
        some = workload.gradient(x[rows], part, None if examples is None else examples[rows])
        assert torch.equal(some.gradient, together.gradient[rows])
        assert torch.equal(some.loss, together.loss[rows])


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("m", "d"), [(1, 12830), (3, 9000), (9000, 1), (9000, 3), (1, 1), (500, 300)])
def test_bits_do_not_depend_on_the_other_nodes_beyond_numpys_buffer(m, d, compiled):
    # Of these (1, 12830) fails with a plain np.einsum over all the nodes.
    workload = problem(4, m, d)
    workload._model._compiled = compiled
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((4, d)))
    together = workload.gradient(x, range(4))
    for node in range(4):
        alone = workload.gradient(x[node : node + 1], [node])
        assert torch.equal(alone.gradient[0], together.gradient[node])
        assert torch.equal(alone.loss[0], together.loss[node])


@pytest.mark.parametrize("compiled", [False, True])
def test_bits_do_not_depend_on_the_threads_or_on_memory(compiled):
    workload = problem(6, 300, 90)
    workload._model._compiled = compiled
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((6, 90)))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = workload.gradient(x, range(6))
        torch.set_num_threads(2)
        two = workload.gradient(x, range(6))
    finally:
        torch.set_num_threads(threads)
    # The same numbers in other places: shifted by half a vector register, and strided.
    shifted = torch.empty(6 * 90 + 1, dtype=torch.float64)[1:].view(6, 90).copy_(x)
    strided = torch.empty(90, 6, dtype=torch.float64).T.copy_(x)
    for other in (two, workload.gradient(shifted, range(6)), workload.gradient(strided, range(6))):
        assert torch.equal(other.gradient, one.gradient)
        assert torch.equal(other.loss, one.loss)


def test_consecutive_nodes_are_computed_on_views():
    model = problem(5)._model
    ((rows, features, targets),) = model._blocks(np.arange(1, 4), None)
    assert rows == slice(0, 3)
    assert np.shares_memory(features, model._features) and np.shares_memory(targets, model._targets)
    assert [rows for rows, _, _ in model._blocks(np.array([3, 4, 0]), None)] == [slice(0, 2), slice(2, 3)]


@pytest.mark.parametrize(("m", "d"), [(1, 1), (5, 63), (5, 64), (2, 65), (40, 200)])
@pytest.mark.parametrize("logistic", [False, True])
def test_compiled_and_plain_have_the_same_values(m, d, logistic):
    draw = np.random.default_rng(0)
    workload = problem(3, m, d, l2=0.1)
    if logistic:
        workload = LogisticRegression(workload.features, workload.targets > 0, l2=0.1).shard(3, seed=0)
    model = workload if logistic else workload._model
    x = torch.from_numpy(draw.standard_normal((3, d)))
    batch = torch.from_numpy(draw.integers(0, m, (3, 4)))
    results = []
    for model._compiled in (False, True):
        samples = workload.gradient(x, [2, 0, 0]), workload.gradient(x, [2, 0, 0], batch)
        numbers = [sample.loss.numpy() for sample in samples] + [sample.gradient.numpy() for sample in samples]
        results.append([*numbers, workload.evaluate(x[0])["test_loss"]])
    for compiled, plain in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-12, atol=1e-14)


def test_large_data_are_compiled():
    assert not problem(3, 7, 4)._model._compiled
    assert problem(8, 33, 1000)._model._compiled  # 264,000 numbers


def test_einsum_row_by_row_has_the_usual_values():
    draw = np.random.default_rng(0)
    A, x = draw.standard_normal((3, 2, 9000)), draw.standard_normal((3, 9000))
    np.testing.assert_allclose(einsum_by_row("kmd,kd->km", A, x), (A @ x[..., None])[..., 0], rtol=1e-10)


@pytest.mark.parametrize("weights", [{}, {"l2": 0.5}, {"l2": 1e-6}])
def test_optimum_without_l1_has_gradient_zero(weights):
    workload = problem(4, 10, 6, **weights)
    assert np.abs(gradient_of_smooth_part(workload, workload.optimum.numpy())).max() < 1e-14


def test_optimum_has_least_norm_if_there_are_many():
    workload = problem(1, 3, 8)
    x = workload.optimum.numpy()
    assert np.abs(gradient_of_smooth_part(workload, x)).max() < 1e-14
    np.testing.assert_allclose(x, np.linalg.pinv(workload.features[0]) @ workload.targets[0], rtol=1e-10)


@given(
    st.integers(1, 4),
    st.integers(2, 20),
    st.integers(1, 25),
    st.sampled_from([1e-4, 0.01, 0.1, 0.4]),
    st.sampled_from([0.0, 1e-3, 0.2]),
    st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_optimum_with_l1_meets_the_first_order_conditions(n, m, d, l1, l2, seed):
    workload = problem(n, m, d, seed, l1=l1, l2=l2)
    x = workload.optimum.numpy()
    gradient = gradient_of_smooth_part(workload, x)
    assert np.all(np.abs(gradient[x == 0]) <= l1 + 1e-10)
    np.testing.assert_allclose(gradient[x != 0], -l1 * np.sign(x[x != 0]), rtol=0, atol=1e-10)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_optimum_with_l1_is_that_of_scikit_learn(l2):
    workload = problem(3, 20, 10, l1=0.05, l2=l2)
    solver = ElasticNet(alpha=0.05 + l2, l1_ratio=0.05 / (0.05 + l2), fit_intercept=False, tol=1e-12)
    expected = solver.fit(workload.features.reshape(-1, 10), workload.targets.reshape(-1)).coef_
    assert 0 < np.count_nonzero(expected) < 10  # the l1 term matters
    np.testing.assert_allclose(workload.optimum.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("units", [np.ones(6), 10.0 ** np.arange(-3, 3)])
def test_optimum_with_l1_of_degenerate_data(units):
    # Small integers, columns that repeat, a column of zeros, and columns in different units.
    A = np.random.default_rng(0).integers(-2, 3, (1, 9, 6)).astype(float)
    A[..., 1], A[..., 2], A[..., 3] = A[..., 0], -A[..., 0], 0
    workload = LeastSquares(A * units, A.sum(axis=2), l1=1e-3)
    x = workload.optimum.numpy()
    excess = np.abs(gradient_of_smooth_part(workload, x) + workload.l1 * np.sign(x)) - workload.l1 * (x == 0)
    assert np.all(excess <= 1e-13 * units)
    assert np.count_nonzero(x) >= 2


def test_optimum_with_l1_in_closed_form():
    # Orthogonal columns: soft thresholding, divided by 1 + l2.
    A = np.sqrt(4) * np.eye(4)[None]
    b = np.sqrt(4) * np.array([[2.0, -1.0, 0.5, 0.1]])
    workload = LeastSquares(A, b, l1=0.25, l2=1.0)
    np.testing.assert_allclose(workload.optimum.numpy(), [0.875, -0.375, 0.125, 0.0], rtol=0, atol=1e-12)
    assert LeastSquares(A, b, l1=3.0).optimum.tolist() == [0.0] * 4


def test_evaluate_reports_the_objective_and_the_distance():
    workload = problem(l1=0.2, l2=0.4)
    x = torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=torch.float64)
    residual = workload.features.reshape(-1, 4) @ x.numpy() - workload.targets.reshape(-1)
    objective = np.mean(residual**2) / 2 + 0.2 * 5.25 + 0.2 * 3.5
    metrics = workload.evaluate(x)
    assert metrics["test_loss"] == workload.objective(x) == pytest.approx(objective, rel=1e-12)
    assert metrics["distance_to_optimum"] == pytest.approx(np.linalg.norm(x.numpy() - workload.optimum.numpy()))
    assert workload.evaluate(workload.optimum)["distance_to_optimum"] == 0
    near = workload.optimum + 1e-3 * torch.ones(4)
    assert workload.objective(workload.optimum) < workload.objective(near) < objective


def test_shard_and_shapes():
    workload = problem(3, 7, 4)
    assert workload.shard(3, seed=9) is workload
    with pytest.raises(ValueError, match=r"^LeastSquares: the data are for 3 nodes, the topology has 4$"):
        workload.shard(4, seed=0)
    assert workload.layout.d == 4
    assert workload.examples(2) == 7
    assert workload.initial().tolist() == [0.0] * 4 and workload.initial().dtype == torch.float64


def test_tensors_are_taken_and_later_changes_have_no_effect():
    original = problem()
    A, b = torch.from_numpy(original.features.copy()), torch.from_numpy(original.targets.copy())
    workload = LeastSquares(A, b)
    A.zero_()
    x = torch.ones(1, 4, dtype=torch.float64)
    assert torch.equal(workload.gradient(x, [1]).gradient, original.gradient(x, [1]).gradient)


@pytest.mark.parametrize(
    ("features", "targets", "weights", "message"),
    [
        (
            np.ones((2, 3)),
            np.ones(2),
            {},
            r"features must be \(n, m, d\) and targets \(n, m\).*\(2, 3\) and \(2,\)",
        ),
        (np.ones((2, 3, 1)), np.ones((3, 2)), {}, r"they are \(2, 3, 1\) and \(3, 2\)"),
        (np.ones((2, 0, 1)), np.ones((2, 0)), {}, "none of them 0"),
        (np.full((1, 1, 1), np.nan), np.ones((1, 1)), {}, "must be finite"),
        (np.ones((1, 1, 1)), np.full((1, 1), np.inf), {}, "must be finite"),
        (np.ones((1, 1, 1)), np.ones((1, 1)), {"l1": -1.0}, "l1 = -1.0 is not allowed; it must be >= 0"),
        (
            np.ones((1, 1, 1)),
            np.ones((1, 1)),
            {"l2": float("nan")},
            "l2 = nan is not allowed; it must be >= 0",
        ),
    ],
)
def test_errors_are_one_line(features, targets, weights, message):
    with pytest.raises(ValueError, match=message) as error:
        LeastSquares(features, targets, **weights)
    assert "\n" not in str(error.value) and str(error.value).startswith("LeastSquares: ")


@pytest.mark.parametrize("number", [-1, 7])
def test_an_example_of_another_node_cannot_be_asked_for(number):
    with pytest.raises(IndexError, match="example number that the node does not have"):
        problem().gradient(torch.zeros(2, 4), [0, 1], torch.tensor([[0], [number]]))
