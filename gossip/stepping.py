"""One iteration of an algorithm, as the trainer and `gossip.Optimizer` drive it."""

from __future__ import annotations

from torch import Tensor

from algorithms import Algorithm, Sample, State
from gossip.network import InProcessNetwork


def advance(algorithm: Algorithm, state: State, sample: Sample, network: InProcessNetwork) -> None:
    """One step and the end of its round; `algorithm.post` may have been called before the gradients were taken."""
    d = state.x.shape[1]
    columns = network.block_columns(d, state.x.itemsize) if algorithm.separable else d
    if columns < d:
        _step_by_columns(algorithm, state, sample, network, columns)
    else:
        algorithm.step(state, sample, network)
    network.finish_step()


def _step_by_columns(
    algorithm: Algorithm, state: State, sample: Sample, network: InProcessNetwork, columns: int
) -> None:
    """The same step, on a block of columns after the other.

    A step is a handful of operations, each of which would move whole stacks through memory; of a block only what the
    state and the gradient hold does, what is computed on the way stays in the cache.
    """
    stacks = {name: value for name, value in vars(state).items() if _is_stack(value, sample)}
    _separate(stacks)
    others = {name: value for name, value in vars(state).items() if name not in stacks}
    # Neighbours may still be reading the old values, so the new ones go elsewhere.
    targets = {name: _successor(stack, network) for name, stack in stacks.items()}
    memory = {stack.untyped_storage().data_ptr() for stack in stacks.values()}
    for block in network.column_blocks(state.x.shape[1], columns):
        part = State(**{name: stack[:, block] for name, stack in stacks.items()}, **others)
        before = dict(vars(part))
        algorithm.step(part, Sample(sample.gradient[:, block], sample.loss), network)
        after = vars(part)
        changed = {
            name: after[name]
            for name, target in targets.items()
            if after[name] is not before[name] or target is not stacks[name]
        }
        for name, value in changed.items():
            if value.untyped_storage().data_ptr() in memory:  # about to be overwritten, maybe
                changed[name] = value.clone()
        for name, value in changed.items():
            targets[name][:, block] = value
    vars(state).update(after | targets)


def _is_stack(value: object, sample: Sample) -> bool:
    return isinstance(value, Tensor) and value.shape == sample.gradient.shape


def _separate(stacks: dict[str, Tensor]) -> None:
    """Give stacks that share memory their own."""
    seen = set()
    for name, stack in stacks.items():
        if stack.data_ptr() in seen:
            stacks[name] = stack.clone()
        seen.add(stack.data_ptr())


def _successor(stack: Tensor, network: InProcessNetwork) -> Tensor:
    """Where the next value of a stack goes."""
    return network.empty(stack.shape[1], stack.dtype, stack.device) if network.exposed(stack) else stack
