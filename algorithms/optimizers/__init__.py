"""Local update rules that algorithms take, one file each."""

from algorithms.optimizers.adam import Adam as Adam
from algorithms.optimizers.adamw import AdamW as AdamW
from algorithms.optimizers.clars import Clars as Clars
from algorithms.optimizers.clipped import Clipped as Clipped
from algorithms.optimizers.lamb import Lamb as Lamb
from algorithms.optimizers.lars import Lars as Lars
from algorithms.optimizers.nesterov_momentum import NesterovMomentum as NesterovMomentum
from algorithms.optimizers.optimizer import LocalOptimizer as LocalOptimizer
from algorithms.optimizers.residual_sgd import ResidualSGD as ResidualSGD
from algorithms.optimizers.sgd import SGD as SGD
from algorithms.optimizers.torch_optimizer import TorchOptimizer as TorchOptimizer
from algorithms.optimizers.uncorrected import Adagrad as Adagrad
from algorithms.optimizers.uncorrected import UncorrectedAdam as UncorrectedAdam
from algorithms.optimizers.uncorrected import Yogi as Yogi
