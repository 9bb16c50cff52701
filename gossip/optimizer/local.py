"""Local optimizers, whose step takes the place of a gradient."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gossip.optimizer.flat import FlatParameters

MakeLocal = Callable[[Any], torch.optim.Optimizer]


def made_local(local: MakeLocal, params: list[Any], unfit: type[torch.optim.Optimizer]) -> torch.optim.Optimizer:
    """The local optimizer of these parameters or parameter groups.

    Args:
        local: Makes it.
        params: These.
        unfit: The class of those that talk to other nodes.

    Raises:
        ValueError: if that is none, or cannot make steps with dense gradients alone.
    """
    if isinstance(local, torch.optim.Optimizer) or not callable(local):
        raise ValueError(
            f"local = {_shown(local)} is not allowed: it must be a function that makes an optimizer of the parameters "
            f"it is given, such as lambda params: torch.optim.AdamW(params, lr=1e-3)"
        )
    made = _made(local, params)
    if isinstance(made, unfit):
        raise ValueError("local made a gossip.Optimizer, and must make one whose steps are those of one node alone")
    name = type(made).__name__
    if any(each.default is each.empty and each.kind not in FREE for each in _arguments(made.step)):
        raise ValueError(
            f"local = {name} is not allowed: its step needs a closure that evaluates the loss several times, and a "
            f"step of a gossip.Optimizer has one gradient; an optimizer such as torch.optim.AdamW goes by that"
        )
    with torch.random.fork_rng([]):  # whatever it draws, the user's own draws are as without the trial
        _try_step(local, params, made)
    return made


def local_direction(local: torch.optim.Optimizer, flat: FlatParameters, x: Tensor, idle: Sequence[int]) -> Tensor:
    """(1, d): what a step of the local optimizer would subtract from the parameters x (1, d), which stay as they are.

    Args:
        local: Which goes by their gradients.
        flat: The parameters, which are bound to their spare memory when this is done.
        x: Their values, which neighbours may be reading.
        idle: Those that stay, by number, whatever the local optimizer remembers of them.
    """
    flat.bind(flat.spare.copy_(x))
    local.step()
    direction = x - flat.spare
    for number in idle:
        direction[:, flat.places[number].columns] = 0
    return direction


FREE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _arguments(function: Callable[..., Any]) -> Sequence[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _made(local: MakeLocal, params: list[Any]) -> torch.optim.Optimizer:
    try:
        made = local(params)
    except (TypeError, AssertionError) as error:
        raise ValueError(f"local made no optimizer of the parameters: {type(error).__name__}: {error}") from error
    if not isinstance(made, torch.optim.Optimizer):
        raise ValueError(f"local made {_shown(made)}, and must make an optimizer of torch.optim or in its form")
    return made


def _try_step(local: MakeLocal, params: list[Any], made: torch.optim.Optimizer) -> None:
    """Refuse what fails in a step from dense gradients of 0, which another optimizer like it makes on copies."""
    copies: dict[Tensor, Tensor] = {}

    def copied(p: Tensor) -> Tensor:
        if p not in copies:
            copies[p] = torch.nn.Parameter(p.detach().clone(), requires_grad=p.requires_grad)
            copies[p].grad = torch.zeros_like(copies[p]) if p.requires_grad else None
        return copies[p]

    def with_copies(given: Any) -> Any:
        if isinstance(given, dict):
            members = given["params"]
            members = [members] if isinstance(members, Tensor) else members
            return given | {"params": [with_copies(each) for each in members]}
        if isinstance(given, tuple):  # (name, parameter)
            return (*given[:-1], copied(given[-1]))
        return copied(given)

    tried = _made(local, [with_copies(each) for each in params])
    known = {id(p) for p in copies.values()}
    if not all(id(p) in known for group in tried.param_groups for p in group["params"]):
        return  # of a function that has its parameters from elsewhere: a step would change these
    try:
        with torch.no_grad():
            tried.step()
    except Exception as error:  # whatever it cannot do, in whatever form it says so
        raise ValueError(
            f"local = {type(made).__name__} is not allowed: it cannot make a step from the dense gradients that a "
            f"gossip.Optimizer gives it: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error


def _shown(value: object) -> str:
    return f"an object of {type(value).__module__}.{type(value).__qualname__}"
