"""The autoencoder of learned gradient compression: one-dimensional convolutions whose weights are a flat vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from algorithms.checks import check, positive
from algorithms.numerics.threads import one_thread
from algorithms.randomness import stream

KERNEL = 3  # entries that a convolution looks at; a stage halves the length, or doubles it again


@dataclass(frozen=True)
class Autoencoder:
    """A convolutional encoder of vectors (L,) and decoders of its code, computed in double precision on one thread.

    The encoder of Abrahamyan, Chen, Bekoulis, Deligiannis, "Learned Gradient Compression for Distributed Deep
    Learning", IEEE TNNLS 2021, arXiv 2103.08870, as a third party has it; sizes, activations and what the padding is
    are reconstructed. It has S stages, each a convolution with kernel 3 and stride 2, and one with kernel 1 that makes
    `code` channels; a decoder S transposed ones, and one with kernel 1 that makes a single channel of theirs, and of
    the innovation if there is one, which is one more. A leaky ReLU (0.01) follows each but the last. L is filled up
    with zeros to a multiple of 2^S, so that the code has code L / 2^S numbers: a quarter of L by default.

    Weights are first uniform, with the variance that keeps that of a signal (He et al. 2015), and biases 0. Both learn
    by plain SGD.

    Args:
        encoder: Channels after each stage of the encoder.
        code: Channels of the code, >= 1.
        decoder: Channels after each stage of the decoder, as many as of the encoder.
        lr: The learning rate of the weights, > 0, for errors that are means over entries. The authors are said to have
            0.001, of sums.
        reconstruction: Weight of the mean squared error of what is decoded, >= 0.
        similarity: Weight of the mean squared difference of the codes of two nodes, >= 0; where there is a server.
    """

    encoder: tuple[int, ...] = (64, 128, 256, 64)
    code: int = 4
    decoder: tuple[int, ...] = (32, 64, 128, 32)
    lr: float = 0.1
    reconstruction: float = 0.5
    similarity: float = 0.5

    def __post_init__(self) -> None:
        for name in ("encoder", "decoder"):
            channels = getattr(self, name)
            check(len(channels) >= 1 and min(channels) >= 1, self, name, "one or more channels of each stage, all >= 1")
        check(len(self.decoder) == len(self.encoder), self, "decoder", "as many stages as the encoder has")
        check(self.code >= 1, self, "code", ">= 1")
        check(positive(self.lr), self, "lr", "> 0")
        for name in ("reconstruction", "similarity"):
            check(0 <= getattr(self, name) < math.inf, self, name, ">= 0")

    @cached_property
    def encoder_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the kernel and the bias of each convolution."""
        channels = (1, *self.encoder)
        stages = [shape for i, out in enumerate(self.encoder) for shape in ((out, channels[i], KERNEL), (out,))]
        return (*stages, (self.code, channels[-1], 1), (self.code,))

    def decoder_shapes(self, innovation: bool) -> tuple[tuple[int, ...], ...]:
        """Of the kernel and the bias of each convolution; a transposed one's kernel begins with what comes in."""
        channels = (self.code, *self.decoder)
        stages = [shape for i, out in enumerate(self.decoder) for shape in ((channels[i], out, KERNEL), (out,))]
        return (*stages, (1, channels[-1] + innovation, 1), (1,))

    def first_encoder(self, key: int) -> Tensor:
        """(weights,) float64, that follow from 64 random bits."""
        return _first(self.encoder_shapes, key, transposed=False)

    def first_decoder(self, key: int, innovation: bool) -> Tensor:
        """(weights,) float64, that follow from 64 random bits."""
        return _first(self.decoder_shapes(innovation), key, transposed=True)

    def length(self, entries: int) -> int:
        """Numbers of the code of so many entries."""
        stages = len(self.encoder)
        return self.code * -(-entries // 2**stages)

    def encode(self, weights: Tensor, rows: Tensor) -> Tensor:
        """(k, code length) float64, the codes of vectors (k, L), each computed by itself."""
        with one_thread(), torch.no_grad():
            return torch.cat([self._codes(weights, row[None].double().cpu()) for row in rows])

    def decode(self, weights: Tensor, code: Tensor, entries: int, innovation: Tensor | None = None) -> Tensor:
        """(L,) float64, the vector of so many entries that a code stands for, with its innovation (L,) if any."""
        with one_thread(), torch.no_grad():
            return self._decoded(weights, code.double().cpu(), entries, innovation)

    def trained_on_mean(self, encoder: Tensor, decoder: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, float]:
        """A step of SGD towards decoding the mean of vectors (n, L) from the mean of their codes.

        Gives the new weights of the encoder and of the decoder, and what is lost before, as a share of |mean|^2.
        """
        with one_thread(), torch.enable_grad():
            encoder, decoder = (weights.detach().requires_grad_() for weights in (encoder, decoder))
            code = self._codes(encoder, rows).mean(dim=0)
            mean = rows.mean(dim=0)
            error = (self._decoded(decoder, code, rows.shape[1]) - mean).square().mean()
            slopes = torch.autograd.grad(error, (encoder, decoder))
        with torch.no_grad():
            return encoder - self.lr * slopes[0], decoder - self.lr * slopes[1], _share(error, mean)

    def trained_on_each(
        self, encoder: Tensor, decoders: Tensor, rows: Tensor, innovations: Tensor, leader: int
    ) -> tuple[Tensor, Tensor, float]:
        """A step of SGD towards decoding each of n vectors (n, L) from the leader's code and its own innovation.

        With the reconstruction of each node's by its own decoder, (n, weights), and the codes e_i of all nodes,

            loss = reconstruction mean_i |D_i(e_leader, innovation_i) - r_i|^2 / L + similarity mean_{i != j, entries}
            (e_i - e_j)^2

        Gives the new weights of the encoder and of the decoders, and what is lost before, as a share of sum_i |r_i|^2.
        """
        n = len(rows)
        with one_thread(), torch.enable_grad():
            encoder, decoders = (weights.detach().requires_grad_() for weights in (encoder, decoders))
            codes = self._codes(encoder, rows)
            found = [self._decoded(decoders[i], codes[leader], rows.shape[1], innovations[i]) for i in range(n)]
            error = (torch.stack(found) - rows).square().mean()
            # The mean over pairs of |e_i - e_j|^2 is 2 n / (n - 1) times the mean of |e_i - their mean|^2.
            apart = (codes - codes.mean(dim=0)).square().mean() * (2 * n / max(1, n - 1))
            slopes = torch.autograd.grad(self.reconstruction * error + self.similarity * apart, (encoder, decoders))
        with torch.no_grad():
            return encoder - self.lr * slopes[0], decoders - self.lr * slopes[1], _share(error, rows)

    def _codes(self, weights: Tensor, rows: Tensor) -> Tensor:
        """(k, code length) those of vectors (k, L)."""
        parts = _parts(weights, self.encoder_shapes)
        signal = functional.pad(rows, (0, -rows.shape[1] % 2 ** len(self.encoder)))[:, None]
        for kernel, bias in parts[:-1]:
            signal = functional.leaky_relu(functional.conv1d(signal, kernel, bias, stride=2, padding=1))
        return functional.leaky_relu(functional.conv1d(signal, *parts[-1])).flatten(1)

    def _decoded(self, weights: Tensor, code: Tensor, entries: int, innovation: Tensor | None = None) -> Tensor:
        """(L,), of a code (code length,)."""
        parts = _parts(weights, self.decoder_shapes(innovation is not None))
        signal = code.view(1, self.code, -1)
        for kernel, bias in parts[:-1]:
            wider = functional.conv_transpose1d(signal, kernel, bias, stride=2, padding=1, output_padding=1)
            signal = functional.leaky_relu(wider)
        signal = signal[:, :, :entries]
        if innovation is not None:
            signal = torch.cat([signal, innovation.double().cpu().view(1, 1, -1)], dim=1)
        return functional.conv1d(signal, *parts[-1])[0, 0]


def _parts(weights: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[tuple[Tensor, Tensor]]:
    """The kernel and the bias of each convolution."""
    pieces = weights.split([math.prod(shape) for shape in shapes])
    tensors = [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]
    return list(zip(tensors[::2], tensors[1::2], strict=True))


def _share(error: Tensor, wanted: Tensor) -> float:
    """A mean squared error by the mean square of what it is an error of; 0 of zeros."""
    square = wanted.square().mean().item()
    return error.item() / square if square > 0 else 0.0


def _first(shapes: Sequence[tuple[int, ...]], key: int, transposed: bool) -> Tensor:
    random, pieces = stream(key), []
    for kernel, bias in zip(shapes[::2], shapes[1::2], strict=True):
        # An entry that comes out of a transposed stage is made of every other entry of the kernel.
        terms = kernel[0] * kernel[2] / 2 if transposed and kernel[2] == KERNEL else kernel[1] * kernel[2]
        bound = math.sqrt(6 / terms)
        pieces += [random.uniform(-bound, bound, math.prod(kernel)), np.zeros(bias)]
    return torch.cat([torch.from_numpy(piece) for piece in pieces])
