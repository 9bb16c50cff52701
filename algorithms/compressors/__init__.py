"""Compression operators and their messages, one file each."""

from algorithms.compressors.contraction import Contraction as Contraction
from algorithms.compressors.identity import Identity as Identity
from algorithms.compressors.message import Compressor as Compressor
from algorithms.compressors.message import Message as Message
from algorithms.compressors.qsgd import QSGD as QSGD
from algorithms.compressors.random_k import RandomK as RandomK
from algorithms.compressors.sign import ScaledSign as ScaledSign
from algorithms.compressors.top_k import TopK as TopK
