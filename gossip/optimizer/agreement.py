"""That all ranks optimize the same: parameters that do not fit together, or stand in another order, are never mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
import xxhash
from torch import Tensor

from algorithms import Algorithm
from gossip.optimizer.arguments import chosen_topology
from gossip.optimizer.places import format_of
from gossip.processes.communicator import Communicator
from gossip.records.sameness import refuse_disagreement
from topologies import Schedule


def refuse_other_parameters(
    processes: Communicator, groups: Sequence[Mapping[str, Any]], buffers: Sequence[Tensor]
) -> None:
    """Refuse ranks whose parameters or buffers are others than those of rank 0, or in another order; collective.

    The order is compared by the names, where parameters have some. Where they have none, and ranks start from the same
    values, it is compared by these.

    Raises:
        UsageError: on every rank, naming a rank.
    """
    if processes.size == 1:
        return
    parameters = [p for group in groups for p in group["params"]]
    tensors = [*parameters, *buffers]
    shapes = [format_of(each) for each in tensors]
    kinds = [f"{each.dtype}, {'trained' if each.requires_grad else 'frozen'}" for each in tensors]
    names = [name for group in groups for name in group.get("param_names", [])]
    sizes = [len(group["params"]) for group in groups]
    digests = [_digest(each) for each in parameters]
    reference = processes.broadcast((shapes, kinds, names, sizes, digests))

    def check() -> None:
        which, other = f"rank {processes.rank} has", "than rank 0"
        if shapes != reference[0]:
            raise ValueError(f"{which} parameters or buffers of other shapes {other}")
        if kinds != reference[1]:
            raise ValueError(f"{which} parameters or buffers of other types {other}: {_told(kinds, reference[1])}")
        if names != reference[2]:
            raise ValueError(f"{which} its parameters in another order {other}: {_told(names, reference[2])}")
        if sizes != reference[3]:
            raise ValueError(f"{which} other parameter groups {other}: of {sizes} parameters, not {reference[3]}")
        if _exchanged(digests, reference[4]):
            raise ValueError(
                f"{which} its parameters in another order {other}: their values are the same ones in other places"
            )

    processes.together(check)


def refuse_other_settings(
    processes: Communicator, topology: Any, local: torch.optim.Optimizer | None, same: Mapping[str, Any]
) -> None:
    """Refuse ranks that make other optimizers than rank 0; collective.

    Args:
        processes: The ranks.
        topology: As given; a function or a graph may differ, as all take that of rank 0.
        local: The local optimizer, if there is one.
        same: All else that must be the same, by name.

    Raises:
        UsageError: on every rank, naming a rank and what differs.
    """
    refuse_disagreement(
        processes,
        topology=topology if isinstance(topology, Schedule | str) else "that of rank 0",
        **same,
        local_optimizer=type(local).__name__,
        default_dtype_of_torch=str(torch.get_default_dtype()),
    )


def agreed_topology(processes: Communicator, topology: Any, algorithm: Algorithm) -> Schedule:
    """The same one on all ranks: that of rank 0, where a function or somebody's program may have drawn it; collective.

    Raises:
        UsageError: on every rank, if the algorithm cannot use it.
    """
    choose = partial(chosen_topology, topology, algorithm, processes.size)
    return processes.together(choose) if isinstance(topology, Schedule) else processes.from_root(choose)


@torch.no_grad()
def equalize(processes: Communicator, tensors: Sequence[Tensor]) -> None:
    """Give these tensors the values that they have on rank 0; collective."""
    values = processes.broadcast([each.detach().cpu().clone() for each in tensors])
    for each, value in zip(tensors, values, strict=True):
        each.copy_(value)


def _digest(tensor: Tensor) -> str:
    content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return f"{tuple(tensor.shape)} {xxhash.xxh3_64_hexdigest(content.numpy().data)}"


def _exchanged(here: Sequence[str], there: Sequence[str]) -> bool:
    """Whether what is at one place here is at another one there, and at neither place the same."""
    places = {digest: place for place, digest in enumerate(there)}
    moved = [(place, places[digest]) for place, digest in enumerate(here) if places.get(digest, place) != place]
    return any(here[place] != there[place] and here[other] != there[other] for place, other in moved)


def _told(here: Sequence[str], there: Sequence[str]) -> str:
    """The first difference."""
    differ = ((place, *pair) for place, pair in enumerate(zip(here, there, strict=False)) if pair[0] != pair[1])
    place, one, other = next(differ, (min(len(here), len(there)), "none", "none"))
    return f"number {place} is {one}, not {other}"
