"""Whether averaging with a mixing matrix comes to an end."""

from __future__ import annotations

import numpy as np

from topologies.spectra.spectrum import smallest_and_second_eigenvalue, spectral_gap
from topologies.topology import Topology

ROUNDING = 1e-10  # of eigenvalues
BY_DESIGN = ("best_constant", "fdla", "fmmc")  # rules that make the second eigenvalue as small as can be


def no_consensus(topology: Topology) -> str | None:
    """Why the values of the nodes do not come together under x <- W x; None if they do.

    They do if and only if W has no eigenvalue of modulus 1 or more besides the one 1 (L. Xiao, S. Boyd, "Fast linear
    iterations for distributed averaging", Systems & Control Letters 53, 2004, theorem 1). A connected W without
    negative entries and with some w_ii > 0 has none, for which no eigenvalue needs to be computed.

    Args:
        topology: connected.
    """
    indptr, indices, data = topology.arrays
    rows = np.repeat(np.arange(topology.n), np.diff(indptr))
    on_diagonal = indices == rows
    nonnegative = bool((data >= 0).all())
    if topology.n == 1 or topology.rule in BY_DESIGN or (nonnegative and data[on_diagonal].any()):
        return None
    from scipy.sparse.linalg import ArpackNoConvergence

    try:
        second = _second_eigenvalue(topology)
    except ArpackNoConvergence:
        return None  # nobody knows
    if abs(second) < 1 - ROUNDING:
        return None
    given = np.bincount(rows[~on_diagonal], data[~on_diagonal], minlength=topology.n)
    most = int(np.argmax(given))
    if nonnegative:
        way = "(I + W) / 2 has none: Topology.from_matrix((np.eye(n) + W) / 2), or weights = metropolis"
    elif given[most] > 1:
        way = f"node {most} gives {given[most]:.6g} to others, more than 1: scale the weights, or take metropolis"
    else:
        way = "take smaller weights, or metropolis"
    size = f"{second:.6g}" if topology.symmetric else f"of modulus {second:.6g}"
    return (
        f"{topology.name} reaches no consensus: its W has a second eigenvalue {size}, and only those between -1 and 1 "
        f"let differences die out; {way}"
    )


def _second_eigenvalue(topology: Topology) -> float:
    """That of the largest modulus but for the 1; of a W that is not symmetric its modulus."""
    if not topology.symmetric:
        return 1 - spectral_gap(topology)
    low, high = smallest_and_second_eigenvalue(topology)
    return low if abs(low) > abs(high) else high
