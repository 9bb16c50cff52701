"""When correcting the bias of diffusion pays: steady-state errors on four graphs, simulated and in closed form.

Yuan, Alghunaim, Ying, Sayed, "On the Influence of Bias-Correction on Distributed Stochastic Optimization", IEEE TSP
68, 2020, arXiv 1903.10956. Diffusion and consensus: Sayed, "Adaptation, Learning, and Optimization over Networks",
2014; Tu & Sayed, "Diffusion Strategies Outperform Consensus Strategies for Distributed Estimation over Adaptive
Networks", 2012, arXiv 1205.3993.

N nodes with f_i(x) = h/2 |x - c_i|^2 see gradients with independent noise of variance sigma^2 in each component. The
components of x are independent repetitions of one scalar problem. In half of them all nodes have the same minimiser,
in the other half each has its own. The mean-square deviation (MSD) is the mean over nodes and components of
(x_i - x*)^2 in steady state. With the eigenvalues lambda_k of W, b_k the component of (h (x* - c_i))_i along the k-th
eigenvector, and the learning rate mu:

    diffusion (adapt-then-combine)
        1/N sum_k [ lambda_k^2 mu^2 sigma^2 / (1 - lambda_k^2 (1 - mu h)^2)
                    + (lambda_k mu b_k)^2 / (1 - lambda_k (1 - mu h))^2 ]
    consensus
        1/N sum_k [ mu^2 sigma^2 / (1 - (lambda_k - mu h)^2) + (mu b_k)^2 / (1 - lambda_k + mu h)^2 ]
    exact diffusion, l_k = (1 + lambda_k) / 2
        1/N sum_k 2 l_k^2 mu^2 sigma^2 / ([1 - l_k (1 - mu h)] [1 + l_k (3 - 2 mu h)])
    centralized
        mu sigma^2 / (N h (2 - mu h))

They follow from the recursions, which fall apart into one scalar recursion for each k. The centralized method is
adapt-then-combine on the complete graph: there every node takes the step along the average gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

import gossip
from algorithms import AdditiveNoise, Algorithm, DecentralizedSGD, ExactDiffusion, Layout, Sample
from algorithms.randomness import generator
from gossip.reproduce.study import Claim, Findings, Say, Study
from topologies import Topology, complete, grid, path, ring, spectral_gap

Array = NDArray[np.float64]
CURVATURE = 1.0  # h
DEVIATION = 1.0  # sigma
MINIMISERS = ("the same", "of their own")
METHODS = ("diffusion", "consensus", "exact diffusion")
TOLERANCE = 0.05
EVERY = 10  # steps from one measurement to the next


@dataclass(frozen=True)
class Quadratics:
    """f_i(x) = h/2 |x - c_i|^2, with zeros as initial parameters.

    Args:
        centres: (n, d), the minimisers c_i; in the first half of the components all nodes have the same.
    """

    centres: Tensor

    @property
    def layout(self) -> Layout:
        return Layout.vector(self.centres.shape[1])

    def initial(self) -> Tensor:
        return torch.zeros_like(self.centres[0])

    def examples(self, node: int) -> int:
        return 1

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        offset = x - self.centres[list(nodes)]
        return Sample(CURVATURE * offset, torch.stack([CURVATURE / 2 * row.dot(row) for row in offset]))

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        squares = (x - self.centres.mean(dim=0)).square()
        same, own = squares.chunk(2)
        return {
            "test_loss": CURVATURE / 2 * float(squares.sum()),
            MINIMISERS[0]: float(same.mean()),
            MINIMISERS[1]: float(own.mean()),
        }


def centres(n: int, components: int) -> Array:
    """(n, components): zeros in the first half, standard normal numbers in the second."""
    values = generator(0, "minimisers").standard_normal((n, components))
    values[:, : components // 2] = 0
    return values


def closed_form(method: str, W: Array, mu: float, c: Array) -> float:
    """The MSD of a method, with mixing matrix W (n, n), at the learning rate mu for the minimisers c (n, d)."""
    h, variance = CURVATURE, DEVIATION**2
    lam, vectors = np.linalg.eigh(W)
    b2 = np.mean((vectors.T @ (h * (c.mean(axis=0) - c))) ** 2, axis=1)
    match method:
        case "diffusion":
            noise = lam**2 * mu**2 * variance / (1 - lam**2 * (1 - mu * h) ** 2)
            bias = lam**2 * mu**2 * b2 / (1 - lam * (1 - mu * h)) ** 2
            return float(np.mean(noise + bias))
        case "consensus":
            noise = mu**2 * variance / (1 - (lam - mu * h) ** 2)
            bias = mu**2 * b2 / (1 - lam + mu * h) ** 2
            return float(np.mean(noise + bias))
        case "exact diffusion":
            lazy = (1 + lam) / 2
            noise = 2 * lazy**2 * mu**2 * variance / ((1 - lazy * (1 - mu * h)) * (1 + lazy * (3 - 2 * mu * h)))
            return float(np.mean(noise))
        case "centralized":
            return mu * variance / (len(W) * h * (2 - mu * h))
    raise ValueError(f"no closed form of {method!r}")


def simulate(
    algorithm: Algorithm, topology: Topology, c: Array, seed: int, discarded: int, steps: int
) -> dict[str, float]:
    """The MSD with each kind of minimisers: the mean over the `steps` steps after the `discarded` first ones."""
    history = gossip.run(
        Quadratics(torch.from_numpy(c)),
        topology,
        algorithm,
        oracle=AdditiveNoise(deviation=DEVIATION),
        steps=discarded + steps,
        seed=seed,
        evaluate_every=EVERY,
        evaluate_nodes=topology.n,
        output=None,
    ).history
    settled = [metrics for metrics in history if metrics["step"] > discarded]
    return {kind: float(np.mean([metrics[f"node_{kind}"] for metrics in settled])) for kind in MINIMISERS}


def algorithm(method: str, mu: float) -> Algorithm:
    """The method at the learning rate mu."""
    if method == "exact diffusion":
        return ExactDiffusion(lr=mu)
    return DecentralizedSGD(lr=mu, order="consensus" if method == "consensus" else "adapt-then-combine")


def graphs(rows: int, columns: int) -> list[Topology]:
    """Line, cycle, grid and complete graph, sparse ones first, all with Metropolis weights."""
    n = rows * columns
    return [path(n), ring(n), grid(n, rows), complete(n)]


def run(
    seeds: Sequence[int],
    say: Say,
    *,
    rates: Sequence[float] = (0.01, 0.03, 0.09),
    rows: int = 4,
    columns: int = 5,
    components: int = 1000,
    discarded: int = 2000,
    steps: int = 1000,
) -> Findings:
    """Every method on every graph at every learning rate, simulated and in closed form.

    Args:
        rates: Learning rates; the claims about who wins are about the one in the middle.
        rows, columns: Of the grid; all graphs have as many nodes.
        components: Of x, half with the same minimiser everywhere, half with minimisers of their own.
        discarded: Steps until the steady state. Exact diffusion on a line of 20 forgets like 0.998^t.
        steps: Steps over which errors are averaged.
    """
    c = centres(rows * columns, components)
    parts = dict(zip(MINIMISERS, np.split(c, 2, axis=1), strict=True))
    topologies = graphs(rows, columns)
    table: list[dict[str, float | str]] = []
    for topology in topologies:
        W = topology.matrix.toarray()
        for mu in rates:
            say(f"{topology.name}, mu = {mu}")
            for method in METHODS:
                errors = [simulate(algorithm(method, mu), topology, c, seed, discarded, steps) for seed in seeds]
                for kind, part in parts.items():
                    simulated = float(np.mean([error[kind] for error in errors]))
                    theory = closed_form(method, W, mu, part)
                    table.append(
                        {
                            "topology": topology.name,
                            "spectral gap": float(spectral_gap(topology)),
                            "minimisers": kind,
                            "mu": mu,
                            "method": method,
                            "simulated": simulated,
                            "theory": theory,
                            "simulated / theory": simulated / theory,
                            "/ centralized": theory / closed_form("centralized", W, mu, part),
                        }
                    )
    claims = _claims(table, rates[len(rates) // 2])
    return Findings(table, claims, lambda figure: _draw(figure, table, topologies, parts))


def _claims(table: Sequence[Mapping[str, float | str]], mu: float) -> list[Claim]:
    simulated = {
        (row["topology"], row["minimisers"], row["mu"], row["method"]): float(row["simulated"]) for row in table
    }
    names = list(dict.fromkeys(row["topology"] for row in table))
    same, own = MINIMISERS

    def gains(kind: str) -> dict[str, float]:
        """MSD of diffusion over that of exact diffusion, by graph."""
        return {
            str(name): simulated[name, kind, mu, "diffusion"] / simulated[name, kind, mu, "exact diffusion"]
            for name in names
        }

    sparse, dense = list(gains(own).items())[:-1], gains(own)[str(names[-1])]
    worst = max((float(row["simulated / theory"]) for row in table), key=lambda ratio: abs(ratio - 1))
    best = max(
        simulated[name, kind, rate, "diffusion"] / simulated[name, kind, rate, "consensus"]
        for name, kind, rate, method in simulated
        if method == "consensus"
    )
    listed = ", ".join(f"{name} {gain:.3g}" for name, gain in sparse)
    return [
        Claim(
            f"simulation and closed form agree within {TOLERANCE:.0%}",
            f"ratios up to {worst:.3f}",
            abs(worst - 1) <= TOLERANCE,
        ),
        Claim(
            f"exact diffusion beats diffusion on sparse graphs with different minimisers (mu = {mu})",
            f"its MSD is smaller by factors {listed}",
            all(gain > 1 for _, gain in sparse),
        ),
        Claim(
            "its advantage grows as the graph gets sparser",
            listed,
            all(left > right for (_, left), (_, right) in pairwise(sparse)),
        ),
        Claim(
            "on the complete graph diffusion beats exact diffusion",
            f"MSD of diffusion over that of exact diffusion {dense:.3f}",
            dense < 1,
        ),
        Claim(
            "with the same minimisers diffusion beats exact diffusion on every graph",
            ", ".join(f"{name} {gain:.3f}" for name, gain in gains(same).items()),
            all(gain < 1 for gain in gains(same).values()),
        ),
        Claim(
            "diffusion beats consensus everywhere",
            f"MSD of diffusion over that of consensus at most {best:.3f}",
            best < 1,
        ),
    ]


def _draw(
    figure: Figure,
    table: Sequence[Mapping[str, float | str]],
    topologies: Sequence[Topology],
    parts: Mapping[str, Array],
) -> None:
    """A panel for each graph and kind of minimisers: MSD over mu, theory as lines and simulation as points."""
    figure.set_size_inches(12, 6)
    rates = sorted({float(row["mu"]) for row in table})
    fine = np.geomspace(rates[0] / 1.5, rates[-1] * 1.5, 60)
    panels = figure.subplots(len(parts), len(topologies), sharex=True, sharey=True, squeeze=False)
    for (kind, part), line in zip(parts.items(), panels, strict=True):
        for topology, axes in zip(topologies, line, strict=True):
            W = topology.matrix.toarray()
            axes.loglog(
                fine, [closed_form("centralized", W, mu, part) for mu in fine], "--", color="0.5", label="centralized"
            )
            for i, method in enumerate(METHODS):
                axes.loglog(fine, [closed_form(method, W, mu, part) for mu in fine], color=f"C{i}", label=method)
                points = [
                    (row["mu"], row["simulated"])
                    for row in table
                    if (row["topology"], row["minimisers"], row["method"]) == (topology.name, kind, method)
                ]
                axes.loglog(*zip(*points, strict=True), "o", color=f"C{i}", markersize=4)
            axes.set_title(f"{topology.name}, minimisers {kind}", fontsize=10)
        line[0].set_ylabel("mean-square deviation")
    for axes in panels[-1]:
        axes.set_xlabel("learning rate mu")
    panels[0][0].legend(fontsize=8, frameon=False, title="lines: theory, points: simulation", title_fontsize=8)


STUDY = Study(
    paper="Yuan, Alghunaim, Ying, Sayed 2020, arXiv 1903.10956",
    claim="bias correction helps on sparse graphs with heterogeneous nodes, and costs a little elsewhere",
    run=run,
)
