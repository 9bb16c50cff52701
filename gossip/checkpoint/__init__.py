"""Checkpoints: all that a run depends on, written so that it goes on with the same bits, on any number of ranks."""

from gossip.checkpoint.keeper import Every as Every
from gossip.checkpoint.keeper import Keeper as Keeper
from gossip.checkpoint.keeper import Moment as Moment
from gossip.checkpoint.keeper import find as find
from gossip.checkpoint.store import Checkpoint as Checkpoint
