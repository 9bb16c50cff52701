"""Decentralized methods with compressed communication, one file each."""

from algorithms.compressed.choco import ChocoSGD as ChocoSGD
