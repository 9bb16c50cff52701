"""Attacks on methods, and methods that withstand them, one file each."""

from algorithms.robust.attack import ALittleIsEnough as ALittleIsEnough
from algorithms.robust.attack import Attack as Attack
from algorithms.robust.attack import GaussianNoise as GaussianNoise
from algorithms.robust.attack import SignFlip as SignFlip
from algorithms.robust.attack import Zeros as Zeros
from algorithms.robust.attacked import Attacked as Attacked
from algorithms.robust.zeno import Zeno as Zeno
