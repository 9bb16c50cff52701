"""Compression operators and their messages, one file each."""

from algorithms.compressors.bin_grad_b import BinGradB as BinGradB
from algorithms.compressors.bin_grad_pb import BinGradPB as BinGradPB
from algorithms.compressors.contraction import Contraction as Contraction
from algorithms.compressors.exponential_dithering import ExponentialDithering as ExponentialDithering
from algorithms.compressors.floating_point import Float as Float
from algorithms.compressors.general_rounding import GeneralRounding as GeneralRounding
from algorithms.compressors.identity import Identity as Identity
from algorithms.compressors.infinity_norm import InfinityNorm as InfinityNorm
from algorithms.compressors.message import Compressor as Compressor
from algorithms.compressors.message import Message as Message
from algorithms.compressors.natural_compression import NaturalCompression as NaturalCompression
from algorithms.compressors.natural_dithering import NaturalDithering as NaturalDithering
from algorithms.compressors.one_bit import OneBit as OneBit
from algorithms.compressors.orq import ORQ as ORQ
from algorithms.compressors.qsgd import QSGD as QSGD
from algorithms.compressors.random_k import RandomK as RandomK
from algorithms.compressors.sign import ScaledSign as ScaledSign
from algorithms.compressors.tern_grad import TernGrad as TernGrad
from algorithms.compressors.top_k import TopK as TopK
