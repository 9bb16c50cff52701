"""What a `gossip.Optimizer` is made of, if it can be: all else is refused in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from algorithms import Algorithm
from gossip.needs import check_needs
from gossip.optimizer.rates import learning_rate_of
from topologies import FAMILIES, Schedule, Topology


def listed(params: Any) -> list[Any]:
    """The parameters or parameter groups.

    Raises:
        ValueError: if they are none, or in an order that differs from rank to rank.
    """
    if isinstance(params, Tensor | dict | set | frozenset | str) or not hasattr(params, "__iter__"):
        raise ValueError(
            f"params = an object of {type(params).__name__} is not allowed: parameters or parameter groups in the same "
            f"order on every rank, such as model.parameters() or [{{'params': model.parameters()}}]"
        )
    return list(params)


def check_algorithm(algorithm: Any) -> Algorithm:
    """The algorithm as it runs where every node has data.

    Raises:
        ValueError: if it cannot.
    """
    if not isinstance(algorithm, Algorithm):
        name = algorithm.__name__ if isinstance(algorithm, type) else algorithm
        given = f"the class {name}" if isinstance(algorithm, type) else f"{algorithm!r}"
        raise ValueError(f"algorithm = {given} is not allowed: it must be an algorithm, such as {_example(name)}")
    name = type(algorithm).__name__
    if learning_rate_of(algorithm) is None:
        raise ValueError(f"{name} has no learning rate lr, so it cannot be an optimizer")
    algorithm = algorithm.replicated()
    if algorithm.without_data:
        raise ValueError(f"{name} has auxiliary nodes, and in one's own loop every node has data")
    if algorithm.takes_norms:
        raise ValueError(f"{name} as set up needs the norms of gradients of single samples, which a loop does not give")
    if algorithm.sets_batch_size:
        raise ValueError(f"{name} sets the batch size, and in one's own loop you do; use its method alone")
    if algorithm.takes_losses:
        raise ValueError(f"{name} asks for losses at points of its own, which a loop does not give; gossip.run does")
    return algorithm


def _example(name: object) -> str:
    import algorithms

    known = getattr(algorithms, name, None) if isinstance(name, str) else None
    usable = isinstance(known, type) and issubclass(known, Algorithm)
    return f"{name}(lr=0.1)" if usable else "algorithms.DecentralizedSGD(lr=0.1)"


def chosen_topology(topology: Any, algorithm: Algorithm, n: int) -> Schedule:
    """The topology of n nodes, if the algorithm can use it.

    Raises:
        ValueError: if there is none, or it cannot.
    """
    if isinstance(topology, str):
        families = {family.__name__: family for family in FAMILIES}
        if topology not in families:
            raise ValueError(f"there is no topology {topology!r}; there are {', '.join(families)}")
        topology = families[topology]
    made = topology(n) if callable(topology) else topology
    if not isinstance(made, Schedule) and not hasattr(made, "adjacency"):
        raise ValueError(
            f"topology = an object of {type(made).__name__} is not allowed: the name of a family such as 'ring', a "
            f"function of the number of nodes, a schedule, or a networkx graph"
        )
    chosen = made if isinstance(made, Schedule) else Topology(made)
    if chosen.n != n:
        raise ValueError(f"{chosen.name} has {chosen.n} nodes but there are {n} ranks, and every rank is one node")
    check_needs(algorithm, chosen)
    return chosen


def check_kinds(parameters: Sequence[Tensor]) -> None:
    """Refuse parameters that cannot lie in one vector."""
    if not parameters:
        raise ValueError("none of the parameters requires a gradient")
    if len(set(parameters)) < len(parameters):
        raise ValueError("a parameter appears twice in a parameter group: give each of them once")
    kinds = sorted({f"{p.dtype} on {p.device}" for p in parameters})
    if len(kinds) > 1 or not parameters[0].is_floating_point():
        raise ValueError(
            f"the parameters must share one floating-point type and one device, these are {', '.join(kinds)}"
        )


def check_unfrozen(left_out: Sequence[Tensor], parameters: Sequence[Tensor]) -> None:
    """Refuse parameters that cannot be taken up later.

    Args:
        left_out: Those that were not trained so far.
        parameters: All that would be trained now.
    """
    for p in left_out:
        if p.grad is not None and not p.requires_grad:
            raise ValueError(
                f"a parameter of shape {tuple(p.shape)} was given a gradient and requires none, so this "
                f"gossip.Optimizer leaves it out: set its requires_grad"
            )
    check_kinds(parameters)


def loss_seen(loss: Any, like: Tensor) -> Tensor:
    """(1,): what a closure has returned, in the precision and on the device of another tensor.

    Raises:
        ValueError: if that is not one number.
    """
    try:
        return torch.as_tensor(loss, dtype=like.dtype, device=like.device).detach().reshape(1)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"a closure must return the loss, one number, and it returned {loss!r}") from error
