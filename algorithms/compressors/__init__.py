"""Compression operators and their messages, one file each."""

from algorithms.compressors.adaptive_random import AdaptiveRandom as AdaptiveRandom
from algorithms.compressors.bernoulli import Bernoulli as Bernoulli
from algorithms.compressors.blocks import Blocks as Blocks
from algorithms.compressors.composed import Composed as Composed
from algorithms.compressors.contraction import Contraction as Contraction
from algorithms.compressors.identity import Identity as Identity
from algorithms.compressors.induced import Induced as Induced
from algorithms.compressors.message import Compressor as Compressor
from algorithms.compressors.message import Message as Message
from algorithms.compressors.per_tensor import PerTensor as PerTensor
from algorithms.compressors.perm_k import PermK as PermK
from algorithms.compressors.q_top_k import QTopK as QTopK
from algorithms.compressors.qsgd import QSGD as QSGD
from algorithms.compressors.random_block import RandomBlock as RandomBlock
from algorithms.compressors.random_k import RandomK as RandomK
from algorithms.compressors.sign import ScaledSign as ScaledSign
from algorithms.compressors.sign_top_k import SignTopK as SignTopK
from algorithms.compressors.threshold import Threshold as Threshold
from algorithms.compressors.top_k import TopK as TopK
