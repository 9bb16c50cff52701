"""Uncompressed decentralized methods, one file each."""

from algorithms.decentralized.dsgd import DecentralizedSGD as DecentralizedSGD
from algorithms.decentralized.exact_diffusion import ExactDiffusion as ExactDiffusion
