"""Weights with which averaging is fastest: convex optimization over the weights of the edges.

Both problems minimize the norm

    f(w) = ||W - J||_2,    W = I - sum_e w_e b_e b_e^T,    b_e = e_i - e_j for the edge e = {i, j},    J = 1 1^T / n

which is convex in w. The largest modulus of an eigenvalue is replaced by a smooth bound that is at most mu ln(2 n)
above it,

    f_mu(w) = mu ln sum_k (exp(lambda_k / mu) + exp(-lambda_k / mu))

(Y. Nesterov, "Smoothing technique and its applications in semidefinite optimization", Math. Programming 110, 2007)
whose minimizer under L-BFGS-B is followed while mu shrinks. Constraints w >= 0 are bounds, w_ii >= 0 are kept by an
augmented Lagrangian. A subgradient method needs thousands of steps for two digits, this some hundred for four. It
begins from the better one of two rules in closed form, which is kept where nothing better is found. cvxpy solves the
semidefinite program on demand: it is slower, and on long graphs less exact.

Source of the problems: L. Xiao, S. Boyd, "Fast linear iterations for distributed averaging", Systems & Control Letters
53, 2004; S. Boyd, P. Diaconis, L. Xiao, "Fastest mixing Markov chain on a graph", SIAM Review 46(4), 2004.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Solver = Literal["smoothing", "cvxpy"]

SMOOTHINGS = 0.1 * 0.3 ** np.arange(8)  # mu, down to 2e-5
ROUNDS = 4  # of the augmented Lagrangian at each mu
PENALTY = 10.0
ITERATIONS = 200  # of L-BFGS-B in each
LARGEST = 400  # nodes, whose dense eigenvalues each iteration takes


def fastest_averaging(adjacency: csr_array, solver: Solver = "smoothing") -> csr_array:
    """Off-diagonal weights of fastest distributed linear averaging (FDLA); they may be negative.

    Args:
        adjacency: (n, n) of ones, symmetric, up to 400 nodes.
        solver: "smoothing" or "cvxpy".

    Raises:
        ValueError: there are more nodes, or cvxpy is asked for and not installed.
    """
    return _solve("fdla", adjacency, False, solver)


def fastest_markov_chain(adjacency: csr_array, solver: Solver = "smoothing") -> csr_array:
    """Off-diagonal weights of the fastest mixing Markov chain (FMMC): all of W >= 0.

    Args:
        adjacency: (n, n) of ones, symmetric, up to 400 nodes.
        solver: "smoothing" or "cvxpy".

    Raises:
        ValueError: there are more nodes, or cvxpy is asked for and not installed.
    """
    return _solve("fmmc", adjacency, True, solver)


def _solve(name: str, adjacency: csr_array, nonnegative: bool, solver: Solver) -> csr_array:
    from scipy.sparse import csr_array, triu

    n = adjacency.shape[0]
    if n > LARGEST:
        raise ValueError(f"{name} weights are for up to {LARGEST} nodes, got {n}; use weights='best_constant'")
    upper = triu(adjacency, 1).tocoo()
    i, j = upper.row.astype(np.int64), upper.col.astype(np.int64)
    if not len(i):
        return adjacency
    if solver == "cvxpy" and find_spec("cvxpy") is None:
        raise ValueError(f"{name} by cvxpy needs it: pip install cvxpy, or take solver='smoothing'")
    start = _in_closed_form(n, i, j, nonnegative)
    found = _by_cvxpy(n, i, j, nonnegative) if solver == "cvxpy" else _by_smoothing(n, i, j, start, nonnegative)
    if nonnegative:  # what is left of rounding
        found = np.maximum(found, 0)
        sums = np.maximum(1, _at_nodes(n, i, j, found))
        found = found / np.maximum(sums[i], sums[j])
    weights = min(found, start, key=lambda each: _norm(n, i, j, each))
    return csr_array((np.tile(weights, 2), (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(n, n))


def _at_nodes(n: int, i: np.ndarray, j: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n,): the sum of the weights of each node's edges."""
    sums: np.ndarray = np.bincount(i, weights, n) + np.bincount(j, weights, n)
    return sums


def _deviation(n: int, i: np.ndarray, j: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n, n): W - J."""
    W = np.full((n, n), -1 / n)
    W[i, j] += weights
    W[j, i] += weights
    W[np.arange(n), np.arange(n)] += 1 - _at_nodes(n, i, j, weights)
    return W


def _norm(n: int, i: np.ndarray, j: np.ndarray, weights: np.ndarray) -> float:
    """f of the weights."""
    return float(np.abs(np.linalg.eigvalsh(_deviation(n, i, j, weights))).max())


def _in_closed_form(n: int, i: np.ndarray, j: np.ndarray, nonnegative: bool) -> np.ndarray:
    """Metropolis weights, or the best constant if it is allowed and better; see `topologies.weights.rules`."""
    degrees = _at_nodes(n, i, j, np.ones(len(i)))
    metropolis = 1 / (1 + np.maximum(degrees[i], degrees[j]))
    laplacian = np.eye(n) - 1 / n - _deviation(n, i, j, np.ones(len(i)))
    eigenvalues = np.linalg.eigvalsh(laplacian)
    constant = np.full(len(i), 2 / (eigenvalues[1] + eigenvalues[-1]))
    if eigenvalues[1] <= 0 or (nonnegative and constant[0] * degrees.max() > 1):
        return metropolis
    return min(metropolis, constant, key=lambda each: _norm(n, i, j, each))


def _by_smoothing(n: int, i: np.ndarray, j: np.ndarray, start: np.ndarray, nonnegative: bool) -> np.ndarray:
    from scipy.optimize import minimize

    def smoothed(w: np.ndarray, mu: float) -> tuple[float, np.ndarray]:
        eigenvalues, vectors = np.linalg.eigh(_deviation(n, i, j, w))
        both = np.concatenate([eigenvalues, -eigenvalues]) / mu
        top = both.max()
        shares = np.exp(both - top)
        value = mu * (top + np.log(shares.sum()))
        shares /= shares.sum()
        G = (vectors * (shares[:n] - shares[n:])) @ vectors.T
        return value, 2 * G[i, j] - G[i, i] - G[j, j]

    def lagrangian(w: np.ndarray, mu: float, prices: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = smoothed(w, mu)
        if not nonnegative:
            return value, gradient
        pulls = np.maximum(0, prices + PENALTY * (_at_nodes(n, i, j, w) - 1))
        return value + float(pulls @ pulls) / (2 * PENALTY), gradient + pulls[i] + pulls[j]

    w, prices = start, np.zeros(n)
    bounds = [(0, None)] * len(i) if nonnegative else None
    for mu in SMOOTHINGS:
        for _ in range(ROUNDS if nonnegative else 1):
            w = minimize(
                lagrangian, w, (mu, prices), "L-BFGS-B", jac=True, bounds=bounds,
                options={"maxiter": ITERATIONS, "ftol": 1e-12, "gtol": 1e-9},
            ).x  # fmt: skip
            prices = np.maximum(0, prices + PENALTY * (_at_nodes(n, i, j, w) - 1))
    return w


def _by_cvxpy(n: int, i: np.ndarray, j: np.ndarray, nonnegative: bool) -> np.ndarray:
    import cvxpy

    edges = np.arange(len(i))
    incidence = np.zeros((n, len(i)))
    incidence[i, edges], incidence[j, edges] = 1, -1
    w, norm = cvxpy.Variable(len(i)), cvxpy.Variable()
    deviation = np.eye(n) - incidence @ cvxpy.diag(w) @ incidence.T - np.full((n, n), 1 / n)
    constraints = [deviation << norm * np.eye(n), deviation >> -norm * np.eye(n)]
    if nonnegative:
        constraints += [w >= 0, np.abs(incidence) @ w <= 1]
    cvxpy.Problem(cvxpy.Minimize(norm), constraints).solve()
    return np.asarray(w.value)
