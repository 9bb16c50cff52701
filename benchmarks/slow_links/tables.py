"""Markdown of what train.py has written, for one or more rates: `tables.py results/*.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from methods import MOMENTUM, NODES, SETTINGS, TARGET


def lines(record: dict[str, Any]) -> list[str]:
    """The table of one rate, by medians over repeats."""
    link, host, runs = record["link"], record["host"], record["runs"]
    names = list(dict.fromkeys(run["method"] for run in runs))
    repeats = len(runs) // len(names)
    until = "20 steps (quick: no target)" if record["quick"] else f"accuracy {TARGET}"
    found = [
        f"### {NODES} ranks behind {record['rate']}, to {until}, {repeats} run{'s' if repeats > 1 else ''} each",
        "",
        f"Measured links: {1e3 * link['latency']:.2f} ms, {8e-6 * link['bandwidth']:.0f} Mbit/s, "
        f"{1e3 * link['overhead']:.2f} ms a message beyond its bytes; of {host['cores']} cores that all ranks share, a "
        f"message takes {1e3 * host['message']:.2f} ms and {1e9 * host['byte']:.1f} ns a byte at either end.",
        "",
        "| method | steps | accuracy | MB sent per node | seconds, real | on the clock | clock / real |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        own = [run for run in runs if run["method"] == name]
        real, clock, accuracy, megabytes, steps = (
            median(run[key] for run in own) for key in ("seconds", "predicted", "accuracy", "megabytes", "steps")
        )
        reached = "" if record["quick"] or accuracy >= TARGET else " (not reached)"
        found.append(
            f"| {name} | {steps}{reached} | {accuracy:.3f} | {megabytes:.2f} | {real:.2f} | {clock:.2f} | "
            f"{ratio(record, name):.2f} |"
        )
    return [*found, ""]


def ratios(records: Sequence[dict[str, Any]]) -> list[str]:
    """The table of predicted over measured seconds, of each method behind each rate, and how far they are at most."""
    names = list(dict.fromkeys(run["method"] for run in records[0]["runs"]))
    rates = [record["rate"] for record in records]
    found = [
        "### Seconds on the clock over real ones",
        "",
        f"| method | {' | '.join(rates)} |",
        f"|---|{'---|' * len(rates)}",
    ]
    told = [{name: ratio(record, name) for name in names} for record in records]
    found += [f"| {name} | {' | '.join(f'{each[name]:.2f}' for each in told)} |" for name in names]
    ends = [f"{min(each.values()):.2f} to {max(each.values()):.2f}" for each in told]
    return [*found, f"| all | {' | '.join(ends)} |", ""]


def ratio(record: dict[str, Any], name: str) -> float:
    """Of one method, by medians."""
    own = [run for run in record["runs"] if run["method"] == name]
    return median(run["predicted"] for run in own) / median(run["seconds"] for run in own)


def main() -> None:
    """Print all tables."""
    records = [json.loads(Path(file).read_text(encoding="utf-8")) for file in sys.argv[1:]]
    for record in records:
        print("\n".join(lines(record)))
    print("\n".join(ratios(records)))
    kept = json.loads(SETTINGS.read_text(encoding="utf-8"))
    tuned = ", ".join(f"{name} {each['lr']:g}" for name, each in kept["methods"].items())
    print(f"Learning rates, fixed on the seeds {kept['tuned']['seeds']} by tune.py, momentum {MOMENTUM}: {tuned}.")


if __name__ == "__main__":
    main()
