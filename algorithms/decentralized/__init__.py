"""Uncompressed decentralized methods, one file each."""

from algorithms.decentralized.d2 import D2 as D2
from algorithms.decentralized.dsgd import DecentralizedSGD as DecentralizedSGD
from algorithms.decentralized.exact_diffusion import ExactDiffusion as ExactDiffusion
from algorithms.decentralized.extra import Extra as Extra
from algorithms.decentralized.nids import Nids as Nids
from algorithms.decentralized.pg_extra import PgExtra as PgExtra
