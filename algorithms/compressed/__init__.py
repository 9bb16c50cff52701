"""Decentralized methods with compressed communication, one file each."""

from algorithms.compressed.choco import ChocoSGD as ChocoSGD
from algorithms.compressed.choco_gossip import ChocoGossip as ChocoGossip
from algorithms.compressed.sparq import SparqSGD as SparqSGD
from algorithms.compressed.squarm import SquarmSGD as SquarmSGD
