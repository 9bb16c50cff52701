"""Oracles: what turns a workload into gradient estimates."""

from algorithms.oracles.additive_noise import AdditiveNoise as AdditiveNoise
from algorithms.oracles.full import Full as Full
from algorithms.oracles.minibatch import Minibatch as Minibatch
from algorithms.oracles.oracle import Oracle as Oracle
from algorithms.oracles.oracle import ShardedWorkload as ShardedWorkload
