"""Compression operators and their messages, one file each."""

from algorithms.compressors.identity import Identity as Identity
from algorithms.compressors.message import Compressor as Compressor
from algorithms.compressors.message import Message as Message
from algorithms.compressors.top_k import TopK as TopK
