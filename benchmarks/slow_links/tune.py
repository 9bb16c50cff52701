"""Fix learning rates and consensus step sizes, on seeds that the benchmark does not use, into settings.json.

In one process: models are the same bits there as on ranks behind slow links. `python benchmarks/slow_links/tune.py`
takes some minutes.
"""

from __future__ import annotations

import json

import numpy as np
from methods import BATCH, EVERY, METHODS, NODES, SETTINGS, TARGET, WORKLOAD, Method, oracle

import gossip
from gossip.errors import DivergedError

SEEDS = (101, 102)
RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
STEPS = 300


def steps_to_target(method: Method, lr: float, gamma: float, seed: int) -> float:
    """How many steps it takes, and infinity if that is more than it has."""
    try:
        result = gossip.run(
            WORKLOAD, method.topology(), method.make(lr, gamma), steps=STEPS, oracle=oracle(), seed=seed,
            evaluate_every=EVERY, evaluate_nodes=0, output=None,
        )  # fmt: skip
    except DivergedError:
        return np.inf
    return next((row["step"] for row in result.history if row["test_accuracy"] >= TARGET), np.inf)


def main() -> None:
    """Try all, keep those that take the fewest steps on average; of equal ones the smaller learning rate."""
    found = {}
    for name, method in METHODS.items():
        tried = [
            (float(np.mean([steps_to_target(method, lr, gamma, seed) for seed in SEEDS])), lr, gamma)
            for gamma in method.gammas
            for lr in RATES
        ]
        steps, lr, gamma = min(tried)
        print(f"{name}: lr {lr}, gamma {gamma}, {steps:.0f} steps", flush=True)
        found[name] = {"lr": lr, "gamma": gamma, "steps": steps}
    about = {"seeds": SEEDS, "rates": RATES, "nodes": NODES, "batch": BATCH, "target": TARGET}
    SETTINGS.write_text(json.dumps({"tuned": about, "methods": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
