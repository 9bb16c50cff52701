"""Update rules, compressors and oracles, written once on node-stacked tensors: torch, no MPI, no I/O."""

from algorithms.algorithm import Algorithm as Algorithm
from algorithms.algorithm import Sample as Sample
from algorithms.asynchronous import *
from algorithms.blocks.adacomm import AdaComm as AdaComm
from algorithms.checks import NonFiniteError as NonFiniteError
from algorithms.compressed import *
from algorithms.compressors import *
from algorithms.cooperative import *
from algorithms.decentralized import *
from algorithms.error_feedback import *
from algorithms.federated import *
from algorithms.layout import Layout as Layout
from algorithms.matrix_network import MatrixNetwork as MatrixNetwork
from algorithms.method import Method as Method
from algorithms.network import Neighborhood as Neighborhood
from algorithms.network import Network as Network
from algorithms.network import Posted as Posted
from algorithms.network import Spectrum as Spectrum
from algorithms.network import Traffic as Traffic
from algorithms.optimizers import *
from algorithms.oracles import *
from algorithms.privacy import *
from algorithms.program import NodeContext as NodeContext
from algorithms.program import NodeProgram as NodeProgram
from algorithms.proximal import L1 as L1
from algorithms.proximal import Box as Box
from algorithms.proximal import ElasticNet as ElasticNet
from algorithms.proximal import GroupLasso as GroupLasso
from algorithms.proximal import L2Ball as L2Ball
from algorithms.proximal import NonNegative as NonNegative
from algorithms.proximal import NuclearNorm as NuclearNorm
from algorithms.proximal import Proximal as Proximal
from algorithms.proximal import Simplex as Simplex
from algorithms.robust import *
from algorithms.schedules.learning_rate import Constant as Constant
from algorithms.schedules.learning_rate import Cosine as Cosine
from algorithms.schedules.learning_rate import InverseTime as InverseTime
from algorithms.schedules.learning_rate import Later as Later
from algorithms.schedules.learning_rate import LearningRate as LearningRate
from algorithms.schedules.learning_rate import StepDecay as StepDecay
from algorithms.schedules.learning_rate import WarmUp as WarmUp
from algorithms.schedules.staleness import HingeDiscount as HingeDiscount
from algorithms.schedules.staleness import NoDiscount as NoDiscount
from algorithms.schedules.staleness import PolynomialDiscount as PolynomialDiscount
from algorithms.schedules.staleness import StalenessDiscount as StalenessDiscount
from algorithms.schedules.thresholds import EventThreshold as EventThreshold
from algorithms.schedules.thresholds import StepwiseThreshold as StepwiseThreshold
from algorithms.state import Block as Block
from algorithms.state import State as State
