"""Oracles: what turns a workload into gradient estimates."""

from algorithms.oracles.full import Full as Full
from algorithms.oracles.minibatch import Minibatch as Minibatch
from algorithms.oracles.oracle import HasLosses as HasLosses
from algorithms.oracles.oracle import HasSlopes as HasSlopes
from algorithms.oracles.oracle import HasSmoothness as HasSmoothness
from algorithms.oracles.oracle import Oracle as Oracle
from algorithms.oracles.oracle import ShardedWorkload as ShardedWorkload
