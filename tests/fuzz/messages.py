"""Damages messages of all operators, and counts what becomes of them. By hand, as it takes minutes:

    python tests/fuzz/messages.py [--messages 200000] [--seed 0]

The header and the checksum of a damaged message are right, so that what is tested is what operators do with a payload
that nobody has packed: one ValueError with one line, or a finite vector, which is the same whether loops are compiled.
"""

from __future__ import annotations

import sys
import warnings
from argparse import ArgumentParser
from collections import Counter
from time import perf_counter

import numpy as np

from algorithms import Message
from tests.algorithms.compressors.damage import damaged, fault, payload_of, sample, sealed
from tests.algorithms.compressors.helpers import EVERY

DIMENSIONS = (3, 16, 41, 200)


def main() -> int:
    parser = ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error")
    random, start = np.random.default_rng(options.seed), perf_counter()
    messages = [sample(each, d, dtype) for each in EVERY for d in DIMENSIONS for dtype in (np.float32, np.float64)]
    counts: Counter[str] = Counter()
    for number in range(options.messages):
        message = messages[number % len(messages)]
        counts[treated(message, random)] += 1
        if number % 20_000 == 19_999:
            print(f"{number + 1} messages, {perf_counter() - start:.0f} s: {dict(counts)}", flush=True)
    return 1 if set(counts) - {"refused", "decoded"} else 0


def treated(message: Message, random: np.random.Generator) -> str:
    """What becomes of a damaged message: "refused", "decoded", or a kind of fault, which is also printed."""
    payload = damaged(payload_of(message), random)
    packed = sealed(message, payload)
    found = fault(message, packed)
    if found is not None:
        print(f"{message.compressor}, d = {message.d}, {message.dtype}, {payload.tobytes().hex()}: {found}", flush=True)
        return found
    try:
        message.unpack(packed)
    except ValueError:
        return "refused"
    return "decoded"


if __name__ == "__main__":
    sys.exit(main())
