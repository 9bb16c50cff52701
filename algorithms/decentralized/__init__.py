"""Uncompressed decentralized methods, one file each."""

from algorithms.decentralized.adamw import DecentralizedAdamW as DecentralizedAdamW
from algorithms.decentralized.d2 import D2 as D2
from algorithms.decentralized.decent_lam import DecentLaM as DecentLaM
from algorithms.decentralized.dsgd import DecentralizedSGD as DecentralizedSGD
from algorithms.decentralized.exact_diffusion import ExactDiffusion as ExactDiffusion
from algorithms.decentralized.extra import Extra as Extra
from algorithms.decentralized.gradient_tracking import GradientTracking as GradientTracking
from algorithms.decentralized.nids import Nids as Nids
from algorithms.decentralized.pg_extra import PgExtra as PgExtra
from algorithms.decentralized.quasi_global_momentum import QuasiGlobalMomentum as QuasiGlobalMomentum
