"""Secure sums: exact whoever vanishes, by messages whose sizes are known, and refused where nothing is hidden."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from algorithms import MatrixNetwork, NonFiniteError
from algorithms.blocks.secure.member import Member
from algorithms.blocks.secure.ring import Ring
from algorithms.blocks.secure.secure_sum import Recovery, TooFewClientsError, secure_sum

D = 3


def network_of(clients: int) -> MatrixNetwork:
    """And a server behind them, which is all that is used."""
    return MatrixNetwork(np.eye(clients + 1))


def vectors(clients: int, dtype: str = "u4") -> NDArray[Any]:
    """Of the whole ring, so that sums wrap around."""
    top = np.iinfo(dtype).max
    return np.random.default_rng(clients).integers(0, top, (clients + 1, D), dtype=dtype, endpoint=True)


def subsets(nodes: list[int]) -> list[list[int]]:
    return [list(some) for size in range(len(nodes) + 1) for some in combinations(nodes, size)]


@pytest.mark.parametrize("n", [2, 3, 6])
def test_exact_for_every_pattern_of_clients_that_vanish_before_they_send(n: int) -> None:
    x, clients, threshold = vectors(n), list(range(n)), max(2, n // 2)
    for survivors in subsets(clients):
        recovery = Recovery(threshold, survivors, survivors)
        if len(survivors) < threshold:
            with pytest.raises(TooFewClientsError, match=rf"{len(survivors)} clients .*threshold is {threshold}"):
                secure_sum(x, clients, network_of(n), recovery)
            continue
        total = secure_sum(x, clients, network_of(n), recovery)
        np.testing.assert_array_equal(total, x[survivors].sum(axis=0, dtype=x.dtype))


def test_exact_for_every_pattern_of_clients_that_vanish_before_they_answer() -> None:
    n, threshold = 3, 2
    x, clients = vectors(n), list(range(n))
    for survivors in subsets(clients):
        for answering in subsets(survivors):
            if len(survivors) < threshold:
                continue
            recovery = Recovery(threshold, survivors, answering)
            if len(answering) < threshold:
                with pytest.raises(TooFewClientsError, match=f"{len(answering)} clients have answered"):
                    secure_sum(x, clients, network_of(n), recovery)
                continue
            total = secure_sum(x, clients, network_of(n), recovery)
            np.testing.assert_array_equal(total, x[survivors].sum(axis=0, dtype=x.dtype))


@pytest.mark.parametrize("dtype", ["u2", "u4", "u8"])
def test_some_clients_in_all_rings(dtype: str) -> None:
    x, clients = vectors(7, dtype), [1, 3, 4, 6]
    for recovery in (Recovery(3, [1, 4, 6], [1, 4, 6]), None):
        total = secure_sum(x, clients, network_of(7), recovery)
        expected = x[clients if recovery is None else [1, 4, 6]].sum(axis=0, dtype=dtype)
        np.testing.assert_array_equal(total, expected)
        assert total is not None and total.dtype == x.dtype


def test_bytes_of_all_rounds() -> None:
    n, clients, survivors, answering = 6, [0, 1, 2, 4, 5], [0, 1, 4, 5], [0, 1, 5]
    network, m = network_of(n), 5
    secure_sum(vectors(n), clients, network, Recovery(3, survivors, answering))
    shared, masked, answer = 64 + 48 * (m - 1), 4 * D, 16 * m
    expected = [shared + masked + answer] * 2 + [shared, 0, shared + masked, shared + masked + answer]
    down = m * (64 * m + 48 * (m - 1)) + len(survivors) * m
    assert network.traffic.bytes.tolist() == [*expected, down]
    assert network.traffic.messages.tolist() == [4, 4, 2, 0, 3, 4, 2 * m + len(survivors)]


def test_a_sum_of_one_hides_nothing() -> None:
    with pytest.raises(TooFewClientsError, match="1 clients hides nothing"):
        secure_sum(vectors(3), [2], network_of(3), Recovery(2, [2], [2]))


def test_members_tell_one_share_of_each_and_nothing_of_too_few() -> None:
    members = [Member(place) for place in range(3)]
    keys = np.stack([member.public_keys() for member in members])
    sealed = [member.sealed_shares(keys, 2) for member in members]
    members[0].take_shares(keys, np.stack([sealed[1][0], sealed[2][0]]))
    told = members[0].answer(np.array([1, 0, 1], np.uint8), 2)
    of_seed, of_own = zip(*(members[0].held[place] for place in range(3)), strict=True)
    assert [row.tobytes() for row in told] == [of_own[0], of_seed[1], of_own[2]]
    with pytest.raises(ValueError, match="1 survivors are below the threshold 2"):
        members[0].answer(np.array([0, 0, 1], np.uint8), 2)


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_ring_sums_the_extremes_of_as_many_clients_as_it_has_room_for(bits: int) -> None:
    ring = Ring(bits, levels=2**13, clip=0.5)
    clients = min((2 ** (bits - 1) - 1) // 2**13, 1000)
    ring.check_room(clients)
    for extreme in (0.5, -7.0):
        each = ring.encode(np.array([extreme]))
        total = np.sum([each] * clients, axis=0, dtype=ring.dtype)
        assert ring.decode(total) == [clients * np.sign(extreme) * 0.5]


def test_ring_refuses_sums_that_could_overflow() -> None:
    Ring(16, levels=8191).check_room(4)
    with pytest.raises(ValueError, match=r"^Ring: levels = 8192 .* 4 clients .* take levels <= 8191, or more bits$"):
        Ring(16, levels=8192).check_room(4)


def test_rounding_is_without_bias() -> None:
    ring, value = Ring(32, levels=10), np.full(4000, 0.537)
    decoded = ring.decode(ring.encode(value, np.random.default_rng(0).random(4000)))
    assert {*np.round(decoded, 9)} == {0.5, 0.6}
    assert abs(decoded.mean() - 0.537) < 0.004  # five standard deviations
    np.testing.assert_allclose(ring.decode(ring.encode(value[:1])), [0.5])


def test_what_is_not_finite_is_not_masked() -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(NonFiniteError, match="NaN or infinity"):
            Ring().encode(np.array([bad]))
