"""Compression operators and their messages, one file each."""

from algorithms.compressors.atomo import Atomo as Atomo
from algorithms.compressors.contraction import Contraction as Contraction
from algorithms.compressors.identity import Identity as Identity
from algorithms.compressors.kashin import Kashin as Kashin
from algorithms.compressors.message import Compressor as Compressor
from algorithms.compressors.message import Message as Message
from algorithms.compressors.power_sgd import PowerSGD as PowerSGD
from algorithms.compressors.qsgd import QSGD as QSGD
from algorithms.compressors.random_k import RandomK as RandomK
from algorithms.compressors.sign import ScaledSign as ScaledSign
from algorithms.compressors.sparse_dithering import SparseDithering as SparseDithering
from algorithms.compressors.spherical import Spherical as Spherical
from algorithms.compressors.top_k import TopK as TopK
