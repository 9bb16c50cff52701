"""Checkpoints: all that a run depends on, written so that it goes on with the same bits, on any number of ranks."""

from gossip.checkpoint.store import Checkpoint as Checkpoint
