"""Local periods: H local steps from one exchange to the next.

Iteration t = 0, 1, ... exchanges if H divides t + 1, as in Cooperative SGD (Wang & Joshi, arXiv 1808.07576).
"""

from __future__ import annotations

from algorithms.checks import check


def check_period(owner: object, period: int) -> None:
    """Refuse a period below 1."""
    check(period >= 1, owner, "period", ">= 1")


def synchronizes(t: int, period: int) -> bool:
    """Whether iteration t ends a period."""
    return (t + 1) % period == 0
