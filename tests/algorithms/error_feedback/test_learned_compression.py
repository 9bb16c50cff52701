"""Learned gradient compression: its three phases in NumPy, what is conserved, what is learnt, and what is sent."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import Autoencoder, Layout, LearnedCompression, MatrixNetwork, PerTensor, SignTopK, TopK
from algorithms.randomness import Draw, random_bits
from tests.algorithms.error_feedback.literal import DECAY, N, close, decay, models, momentum_sgd
from tests.algorithms.helpers import Array, Run, least_squares, run, starts
from tests.algorithms.reference import top_k
from topologies import ring

SHAPES = {"first": (3,), "long": (3, 4), "short": (2,), "last": (4,)}
LAYOUT = Layout(SHAPES)
D, FIRST, LAST = LAYOUT.d, slice(0, 3), slice(17, 21)
CODED = (slice(3, 15), slice(15, 17))
DENSE, TRAINING, STEPS, SHARE, MOMENTUM, LR = 3, 4, 11, 0.5, 0.6, 0.02
PROBLEM = least_squares(N, D)
TWO_STAGES = Autoencoder(encoder=(2, 3), code=1, decoder=(3, 2), lr=0.2)
ONE_STAGE = Autoencoder(encoder=(2,), code=2, decoder=(3,), lr=0.3, reconstruction=0.7, similarity=0.4)


def learned(autoencoder: Autoencoder, **options: Any) -> LearnedCompression:
    chosen = {"lr": LR, "fraction": SHARE, "momentum": MOMENTUM, "dense_steps": DENSE, "training_steps": TRAINING}
    tensors = {"dense_tensors": 1, "sparse_tensors": 1, "innovation": 0.3}
    return LearnedCompression(autoencoder=autoencoder, **chosen | tensors | options).for_layout(LAYOUT)  # type: ignore[arg-type]


def trained(algorithm: LearnedCompression, steps: int = STEPS) -> Run:
    return run(algorithm, ring(N), PROBLEM, starts(PROBLEM), steps)


# The autoencoder, in loops over taps. Weights may be complex: their imaginary parts are small steps.


def leaky(z: Array) -> Array:
    return np.where(z.real < 0, 0.01 * z, z)


def pieces(weights: Array, shapes: Any) -> list[Array]:
    bounds = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    assert bounds[-1] == len(weights)
    return [weights[i:j].reshape(s) for i, j, s in zip(bounds[:-1], bounds[1:], shapes, strict=True)]


def encode(weights: Array, r: Array, sizes: Autoencoder) -> Array:
    parts = pieces(weights, sizes.encoder_shapes)
    signal = np.zeros((1, -(-len(r) // 2 ** len(sizes.encoder)) * 2 ** len(sizes.encoder)), complex)
    signal[0, : len(r)] = r
    for kernel, bias in zip(parts[:-2:2], parts[1:-2:2], strict=True):
        padded, half = np.pad(signal, ((0, 0), (1, 1))), signal.shape[1] // 2
        taps = (kernel[:, :, t] @ padded[:, t : t + 2 * half : 2] for t in range(3))
        signal = leaky(bias[:, None] + sum(taps))
    return leaky(parts[-2][:, :, 0] @ signal + parts[-1][:, None]).ravel()


def decode(weights: Array, code: Array, sizes: Autoencoder, entries: int, innovation: Array | None = None) -> Array:
    parts = pieces(weights, sizes.decoder_shapes(innovation is not None))
    signal = code.reshape(sizes.code, -1)
    for kernel, bias in zip(parts[:-2:2], parts[1:-2:2], strict=True):
        wide = np.zeros((kernel.shape[1], 2 * signal.shape[1] + 2), complex)  # from entry -1 on
        for t in range(3):
            wide[:, t : t + 2 * signal.shape[1] : 2] += kernel[:, :, t].T @ signal
        signal = leaky(wide[:, 1:-1] + bias[:, None])
    signal = signal[:, :entries]
    if innovation is not None:
        signal = np.concatenate([signal, innovation[None]])
    found: Array = (parts[-2][:, :, 0] @ signal + parts[-1])[0]
    return found


def descended(loss: Any, weights: Array, lr: float) -> Array:
    """A step of gradient descent: derivatives are imaginary parts, exact to rounding."""
    tiny, slope = 1e-30, np.zeros(len(weights))
    for i in range(len(weights)):
        moved = weights.astype(complex)
        moved[i] += 1j * tiny
        slope[i] = loss(moved).imag / tiny
    return weights - lr * slope


def error_of_mean(weights: Array, R: Array, sizes: Autoencoder) -> Any:
    split = len(weights) - sum(int(np.prod(s)) for s in sizes.decoder_shapes(False))
    code = np.mean([encode(weights[:split], r, sizes) for r in R], axis=0)
    return ((decode(weights[split:], code, sizes, R.shape[1]) - R.mean(axis=0)) ** 2).mean()


def error_of_each(weights: Array, R: Array, sizes: Autoencoder, leader: int) -> Any:
    split, m = sum(int(np.prod(s)) for s in sizes.encoder_shapes), len(R)
    codes = [encode(weights[:split], r, sizes) for r in R]
    found = [
        decode(each, codes[leader], sizes, R.shape[1], innovation_of(r))
        for each, r in zip(weights[split:].reshape(m, -1), R, strict=True)
    ]
    apart = [((codes[i] - codes[j]) ** 2).mean() for i in range(m) for j in range(m) if i != j]
    return sizes.reconstruction * ((np.stack(found) - R) ** 2).mean() + sizes.similarity * sum(apart) / len(apart)


def innovation_of(r: Array) -> Array:
    return top_k(r, max(1, int(0.3 * len(r))))


def first_weights(sizes: Autoencoder, with_server: bool) -> Array:
    common = Draw(0, "autoencoder", range(N), 0).common
    decoders = [sizes.first_decoder(random_bits(common, i), with_server) for i in range(N if with_server else 1)]
    return torch.cat([sizes.first_encoder(common), *decoders]).numpy()


def literal(sizes: Autoencoder, with_server: bool) -> Array:
    """(STEPS + 1, n, d)."""
    X = np.tile(starts(PROBLEM).mean(axis=0), (N, 1))
    u, v, wanted, w = np.zeros_like(X), np.zeros_like(X), [X], first_weights(sizes, with_server)
    split = len(sizes.first_encoder(0))
    for t in range(STEPS):
        u = MOMENTUM * u + PROBLEM.gradient(X)
        v = v + u
        move, leader = np.zeros(D), t % N
        if t < DENSE:
            move, v = v.mean(axis=0), np.zeros_like(v)
        else:
            move[FIRST], v[:, FIRST] = v[:, FIRST].mean(axis=0), 0
            sent = np.stack([top_k(row, int(SHARE * 4)) for row in v[:, LAST]])
            move[LAST] = sent.mean(axis=0)
            u[:, LAST], v[:, LAST] = np.where(sent != 0, 0, u[:, LAST]), v[:, LAST] - sent
            S, scales = [], []
            for part in CODED:
                kept = np.flatnonzero(top_k(v[leader, part], int(SHARE * (part.stop - part.start))))
                size = np.abs(v[leader, part][kept]).mean()
                S += list(part.start + kept)
                scales += [2.0 ** (np.floor(np.log2(size)) + 1)] * len(kept)
            R = v[:, S] / scales
            if t < DENSE + TRAINING:
                mean = R.mean(axis=0)
                if with_server:
                    w = descended(lambda W, R=R, i=leader: error_of_each(W, R, sizes, i), w, sizes.lr)
                else:
                    w = descended(lambda W, R=R: error_of_mean(W, R, sizes), w, sizes.lr)
            elif with_server:
                code = encode(w[:split], R[leader], sizes)
                each = zip(w[split:].reshape(N, -1), R, strict=True)
                mean = np.mean([decode(D_i, code, sizes, len(S), innovation_of(r)).real for D_i, r in each], axis=0)
            else:
                code = np.mean([encode(w[:split], r, sizes) for r in R], axis=0)
                mean = decode(w[split:], code, sizes, len(S)).real
            move[S] = mean * scales
            u[:, S] = v[:, S] = 0
        X = X - LR * move
        wanted.append(X)
    return np.stack(wanted)


def test_the_equations_of_the_instance_by_all_reduce() -> None:
    close(trained(learned(TWO_STAGES)).models, literal(TWO_STAGES, with_server=False))


def test_the_equations_of_the_instance_with_a_server() -> None:
    close(trained(learned(ONE_STAGE, server="node")).models, literal(ONE_STAGE, with_server=True))


def test_a_replicated_server_has_the_same_bits() -> None:
    with_node, replicated = (trained(learned(ONE_STAGE, server=form)).models for form in ("node", "replicated"))
    np.testing.assert_array_equal(with_node, replicated)


def test_the_dense_phase_is_sgd_with_momentum() -> None:
    whole = LearnedCompression(lr=DECAY, momentum=0.6, dense_tensors=0, sparse_tensors=0, dense_steps=1000)
    close(models(whole), momentum_sgd(decay, 0.6))


def test_the_training_phase_with_every_entry_is_sgd() -> None:
    whole = learned(ONE_STAGE, fraction=1.0, momentum=0.0, dense_steps=0, training_steps=1000)
    X, wanted = np.tile(starts(PROBLEM).mean(axis=0), (N, 1)), []
    for _ in range(STEPS + 1):
        wanted.append(X)
        X = X - LR * PROBLEM.gradient(X).mean(axis=0)
    close(trained(whole).models, np.stack(wanted))


@pytest.mark.parametrize("server", [None, "replicated"])
def test_nothing_is_lost_before_codes_are_sent(server: Any) -> None:
    """x - lr mean_i v_i moves as SGD would, as long as what is sent is what receivers get."""
    algorithm = learned(ONE_STAGE, momentum=0.0, training_steps=1000, server=server)
    virtual = starts(PROBLEM).mean(axis=0)
    found = [trained(algorithm, steps) for steps in range(8)]
    for now, later in pairwise(found):
        virtual = virtual - LR * PROBLEM.gradient(now.final).mean(axis=0)
        state: Any = later.state
        np.testing.assert_allclose(later.final[0] - LR * state.velocity.numpy().mean(axis=0), virtual, atol=1e-12)


def test_an_autoencoder_learns_what_vectors_have_in_common() -> None:
    """Multiples of one curve of 32 numbers, from codes of 8."""
    sizes = Autoencoder(encoder=(8, 16, 16, 8), decoder=(8, 16, 16, 8), lr=0.2)
    encoder, decoder = sizes.first_encoder(1), sizes.first_decoder(2, innovation=False)
    random, curve = np.random.default_rng(0), np.sin(np.arange(32) / 3)
    for _ in range(300):
        rows = torch.from_numpy(random.uniform(-1, 2, size=(4, 1)) * curve)
        encoder, decoder, _ = sizes.trained_on_mean(encoder, decoder, rows)
    row = torch.from_numpy(1.5 * curve)[None]
    code = sizes.encode(encoder, row)
    assert code.shape == (1, sizes.length(32)) == (1, 8)
    lost = sizes.decode(decoder, code[0], 32) - row[0]
    assert lost.square().sum() < 0.2 * row.square().sum()


def test_codes_of_a_node_do_not_depend_on_the_others() -> None:
    sizes, rows = Autoencoder(), torch.from_numpy(np.random.default_rng(0).normal(size=(5, 100)))
    together = sizes.encode(sizes.first_encoder(3), rows)
    for row, code in zip(rows, together, strict=True):
        assert torch.equal(sizes.encode(sizes.first_encoder(3), row[None])[0], code)
    assert sizes.length(96) == 24 and sizes.length(100) == 28


def sizes_of_messages(kept: int) -> tuple[int, int]:
    """(bytes of a leader's message about every entry, bytes of an innovation of so many entries)."""
    ones, draw = torch.ones(1, D, dtype=torch.float64), Draw(0, "any", [0], 0)
    leader = PerTensor(SignTopK(fraction=1.0), shapes=tuple(SHAPES.values())).compress(ones, draw)
    return int(leader.nbytes), int(TopK(k=kept).compress(ones, draw).nbytes)


def test_what_the_instance_by_all_reduce_sends() -> None:
    algorithm = learned(TWO_STAGES, fraction=1.0, dense_tensors=0, sparse_tensors=0)
    found, tree = trained(algorithm), MatrixNetwork(np.eye(N))
    operator = PerTensor(SignTopK(fraction=1.0), shapes=tuple(SHAPES.values()))

    def average(numbers: int) -> None:
        tree.sum(torch.ones(N, numbers, dtype=torch.float64))

    average(D)  # where they start
    for t in range(STEPS):
        if t >= DENSE:
            from_leader = torch.arange(N) == t % N
            tree.sum(operator.compress(torch.ones(N, D).double(), tree.draw("any"), sent=from_leader))
        if DENSE <= t < DENSE + TRAINING:
            tree.gather(torch.ones(N, D, dtype=torch.float64))
        else:
            average(D if t < DENSE else TWO_STAGES.length(D))
    np.testing.assert_array_equal(found.bytes, tree.traffic.bytes.numpy())


def test_what_the_instance_with_a_server_sends() -> None:
    options = {"fraction": 1.0, "innovation": 1.0, "dense_tensors": 0, "sparse_tensors": 0}
    found, (of_leader, innovation) = trained(learned(ONE_STAGE, server="node", **options)), sizes_of_messages(D)
    compressed = STEPS - DENSE - TRAINING
    leads = np.bincount([t % N for t in range(DENSE, STEPS)], minlength=N)
    codes = np.bincount([t % N for t in range(DENSE + TRAINING, STEPS)], minlength=N)
    up = 8 * D * (1 + DENSE + TRAINING) + of_leader * leads + compressed * innovation + 8 * ONE_STAGE.length(D) * codes
    down = 8 * D * (1 + STEPS) + of_leader * (STEPS - DENSE) + 8 * len(ONE_STAGE.first_encoder(0))
    np.testing.assert_array_equal(found.bytes, [*up, N * down])


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        (LearnedCompression, {"fraction": 0.0}, "fraction"),
        (LearnedCompression, {"training_steps": 0}, "training_steps"),
        (LearnedCompression, {"innovation": 1.5}, "innovation"),
        (LearnedCompression, {"server": "none"}, "server"),
        (Autoencoder, {"decoder": (3, 3)}, "decoder"),
        (Autoencoder, {"code": 0}, "code"),
        (Autoencoder, {"lr": 0.0}, "lr"),
    ],
)
def test_what_is_out_of_range_is_refused(kind: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        kind(**options)


def test_a_model_whose_tensors_are_all_sent_otherwise_is_refused() -> None:
    with pytest.raises(ValueError, match="leave nothing to encode of the 1 tensors"):
        models(LearnedCompression(), steps=1)
