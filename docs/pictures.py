"""Draws the pictures of the README: python docs/pictures.py"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import gossip
from algorithms import ChocoSGD, DecentralizedSGD, ExactDiffusion, TopK
from gossip.workloads import LeastSquares
from topologies import exponential, one_peer_exponential, ring, torus
from topologies.command.drawing import draw

HERE = Path(__file__).parent


def topologies() -> Figure:
    figure = Figure(figsize=(10, 2.8), layout="constrained")
    families = (ring(16), torus(16), exponential(16), one_peer_exponential(16))
    for axes, topology in zip(figure.subplots(1, len(families)), families, strict=True):
        draw(topology, axes)
        axes.set_title(topology.name.replace("_", " "), fontsize=10)
    return figure


def results() -> Figure:
    """Least squares on a ring of 16 nodes whose data disagree about the solution."""
    random = np.random.default_rng(0)
    features = random.normal(size=(16, 40, 20))
    solutions = random.normal(size=20) + 0.3 * random.normal(size=(16, 20))
    workload = LeastSquares(features, np.einsum("kmd,kd->km", features, solutions))
    algorithms = {
        "DecentralizedSGD": DecentralizedSGD(lr=0.1),
        "ExactDiffusion": ExactDiffusion(lr=0.1),
        "ChocoSGD, top 10 %": ChocoSGD(lr=0.1, gamma=0.1, compressor=TopK(fraction=0.1)),
    }
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for name, algorithm in algorithms.items():
        steps, megabytes, distances = [], [], []
        result = gossip.run(workload, ring(16), algorithm, steps=600, evaluate_every=5, output=None)
        for record in result.history:
            steps.append(record["step"])
            megabytes.append(record["bytes_sent_per_node"] / 1e6)
            distances.append(record["distance_to_optimum"])
        left.semilogy(steps, distances, label=name)
        right.loglog(megabytes[1:], distances[1:], label=name)
    left.set_xlabel("steps")
    left.set_ylabel("distance to the optimum")
    right.set_xlabel("MB sent per node")
    left.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    topologies().savefig(HERE / "topologies.svg")
    results().savefig(HERE / "results.svg")
