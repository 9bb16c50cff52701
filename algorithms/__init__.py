"""Update rules, compressors and oracles, written once on node-stacked tensors: torch, no MPI, no I/O."""

from algorithms.algorithm import Algorithm as Algorithm
from algorithms.algorithm import Sample as Sample
from algorithms.algorithm import State as State
from algorithms.checks import NonFiniteError as NonFiniteError
from algorithms.compressed import *
from algorithms.compressors import *
from algorithms.cooperative import *
from algorithms.decentralized import *
from algorithms.layout import Layout as Layout
from algorithms.learning_rate import Constant as Constant
from algorithms.learning_rate import Cosine as Cosine
from algorithms.learning_rate import InverseTime as InverseTime
from algorithms.learning_rate import LearningRate as LearningRate
from algorithms.learning_rate import StepDecay as StepDecay
from algorithms.learning_rate import WarmUp as WarmUp
from algorithms.network import Neighborhood as Neighborhood
from algorithms.network import Network as Network
from algorithms.network import Traffic as Traffic
from algorithms.oracles import *
from algorithms.proximal import L1 as L1
from algorithms.proximal import Proximal as Proximal
