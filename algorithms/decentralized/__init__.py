"""Uncompressed decentralized methods, one file each."""

from algorithms.decentralized.adamw import DecentralizedAdamW as DecentralizedAdamW
from algorithms.decentralized.d2 import D2 as D2
from algorithms.decentralized.decent_lam import DecentLaM as DecentLaM
from algorithms.decentralized.dsgd import DecentralizedSGD as DecentralizedSGD
from algorithms.decentralized.exact_diffusion import ExactDiffusion as ExactDiffusion
from algorithms.decentralized.extra import Extra as Extra
from algorithms.decentralized.gossip_averaging import GossipAveraging as GossipAveraging
from algorithms.decentralized.gossip_pga import GossipPGA as GossipPGA
from algorithms.decentralized.gradient_tracking import GradientTracking as GradientTracking
from algorithms.decentralized.nids import Nids as Nids
from algorithms.decentralized.pg_extra import PgExtra as PgExtra
from algorithms.decentralized.push_diging import PushDiging as PushDiging
from algorithms.decentralized.push_sum_averaging import PushSumAveraging as PushSumAveraging
from algorithms.decentralized.push_sum_sgd import PushSumSGD as PushSumSGD
from algorithms.decentralized.quasi_global_momentum import QuasiGlobalMomentum as QuasiGlobalMomentum
from algorithms.decentralized.relay_sgd import RelaySGD as RelaySGD
