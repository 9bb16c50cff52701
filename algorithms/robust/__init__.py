"""Attacks on methods, and methods that withstand them, one file each."""

from algorithms.robust.aggregators import Aggregator as Aggregator
from algorithms.robust.aggregators import Bucketing as Bucketing
from algorithms.robust.aggregators import Bulyan as Bulyan
from algorithms.robust.aggregators import CenteredClipping as CenteredClipping
from algorithms.robust.aggregators import CoordinateMedian as CoordinateMedian
from algorithms.robust.aggregators import FoolsGold as FoolsGold
from algorithms.robust.aggregators import GeometricMedian as GeometricMedian
from algorithms.robust.aggregators import Krum as Krum
from algorithms.robust.aggregators import Mean as Mean
from algorithms.robust.aggregators import NearestNeighborMixing as NearestNeighborMixing
from algorithms.robust.aggregators import NormBound as NormBound
from algorithms.robust.aggregators import TrimmedMean as TrimmedMean
from algorithms.robust.attack import ALittleIsEnough as ALittleIsEnough
from algorithms.robust.attack import Attack as Attack
from algorithms.robust.attack import GaussianNoise as GaussianNoise
from algorithms.robust.attack import InnerProductManipulation as InnerProductManipulation
from algorithms.robust.attack import Mimic as Mimic
from algorithms.robust.attack import Scaling as Scaling
from algorithms.robust.attack import SignFlip as SignFlip
from algorithms.robust.attack import Zeros as Zeros
from algorithms.robust.attacked import Attacked as Attacked
from algorithms.robust.attacked_nodes import AttackedNodes as AttackedNodes
from algorithms.robust.robust_fed_avg import RobustFedAvg as RobustFedAvg
from algorithms.robust.robust_gossip import RobustGossip as RobustGossip
from algorithms.robust.robust_sgd import RobustSGD as RobustSGD
from algorithms.robust.zeno import Zeno as Zeno
