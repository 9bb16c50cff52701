"""The alpha-beta model of links, by hand."""

from __future__ import annotations

import math

import pytest

from topologies import Links, one_peer_exponential, ring, star

LINKS = Links(latency=1.0, bandwidth=50.0)


def test_an_exchange_waits_for_the_last_in_neighbour() -> None:
    assert LINKS.exchange(ring(4), 100).tolist() == [5.0] * 4  # 1 + 2 * 100 / 50
    assert LINKS.exchange(ring(4), 100, [0.0, 10.0, 0.0, 0.0]).tolist() == [15.0, 5.0, 15.0, 5.0]
    assert LINKS.exchange(ring(4), [100, 200, 0, 50]).tolist() == [9.0, 5.0, 9.0, 5.0]


def test_messages_share_the_busier_port() -> None:
    assert LINKS.exchange(one_peer_exponential(4)[0], 100).tolist() == [3.0] * 4
    assert LINKS.exchange(star(4), 100).tolist() == [7.0] * 4  # the centre sends 3, and it hears 3
    assert LINKS.sending(star(4), 100).tolist() == [6.0, 2.0, 2.0, 2.0]


def test_nobody_waits_alone() -> None:
    assert LINKS.exchange(ring(1), 100, 7.0).tolist() == [0.0]
    assert LINKS.all_reduce(1, 100) == 0


def test_all_reduce() -> None:
    assert LINKS.all_reduce(8, 100) == 6 + 3.5  # 2 * 3 latencies, 2 * 7/8 of the bytes
    assert LINKS.all_reduce(9, 0) == 8
    assert LINKS.reducing(8, 100) == 3.5
    assert Links(0.25, math.inf).all_reduce(2, 1e30) == 0.5


@pytest.mark.parametrize(
    ("latency", "bandwidth", "says"),
    [
        (-1.0, 1.0, r"Links: latency = -1.0 is not allowed; it must be >= 0"),
        (math.inf, 1.0, r"latency = inf"),
        (0.0, 0.0, r"Links: bandwidth = 0.0 is not allowed; it must be > 0"),
        (0.0, math.nan, r"bandwidth = nan"),
    ],
)
def test_what_no_link_can_be(latency: float, bandwidth: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Links(latency, bandwidth)
