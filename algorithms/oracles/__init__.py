"""Oracles: what turns a workload into gradient estimates."""

from algorithms.oracles.additive_noise import AdditiveNoise as AdditiveNoise
from algorithms.oracles.batches import importance_batch as importance_batch
from algorithms.oracles.batches import uniform_batch as uniform_batch
from algorithms.oracles.estimates import directions as directions
from algorithms.oracles.full import Full as Full
from algorithms.oracles.loopless_svrg import LooplessSvrg as LooplessSvrg
from algorithms.oracles.losses import asked_losses as asked_losses
from algorithms.oracles.minibatch import Minibatch as Minibatch
from algorithms.oracles.oracle import HasBuffers as HasBuffers
from algorithms.oracles.oracle import HasClippedGradients as HasClippedGradients
from algorithms.oracles.oracle import HasLosses as HasLosses
from algorithms.oracles.oracle import HasSlopes as HasSlopes
from algorithms.oracles.oracle import HasSmoothness as HasSmoothness
from algorithms.oracles.oracle import Oracle as Oracle
from algorithms.oracles.oracle import OracleState as OracleState
from algorithms.oracles.oracle import ShardedWorkload as ShardedWorkload
from algorithms.oracles.private_minibatch import PrivateMinibatch as PrivateMinibatch
from algorithms.oracles.saga import Saga as Saga
from algorithms.oracles.sdca import HasDual as HasDual
from algorithms.oracles.sdca import Sdca as Sdca
from algorithms.oracles.sdca import SdcaState as SdcaState
from algorithms.oracles.svrg import Svrg as Svrg
from algorithms.oracles.zeroth_order import ZerothOrder as ZerothOrder
