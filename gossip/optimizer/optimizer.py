"""Decentralized training in one's own loop: a `torch.optim.Optimizer` whose step talks to the neighbours."""

from __future__ import annotations

import atexit
import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from algorithms import Algorithm, Compressor, Layout, LearningRate, Message, Sample, Traffic
from algorithms.schedules.learning_rate import learning_rate
from algorithms.state import Block, map_tensors
from gossip.needs import check_needs, warn_of_bias
from gossip.network import Communicator, InProcessNetwork, Transport, connect
from gossip.optimizer.flat import FlatParameters, unflatten
from gossip.processes import launcher
from topologies import FAMILIES, Schedule, Topology

if TYPE_CHECKING:
    import networkx
    from mpi4py import MPI


class Optimizer(torch.optim.Optimizer):
    """Every rank is a node that trains its own model; `step` is one iteration of the algorithm. Collective.

    The parameters become views of one vector (d,), and so do their gradients. Those that do not require a gradient are
    left alone, those that get none in a step count as having a zero gradient. What the algorithm can send ahead
    travels during the next forward and backward pass.

    The learning rate is that of the parameter groups, so torch's schedulers work, unless the algorithm's `lr` is a
    schedule, which then rules. Groups may differ in it: the algorithm runs with the largest one, and the gradients of
    the others are scaled down.

    With a `torch.amp.GradScaler`, a node that finds infinite gradients takes part with a zero gradient.

    Args:
        params: Parameters or parameter groups, in the same order on every rank.
        algorithm: What is computed and sent.
        topology: Who talks to whom: the name of a family such as "ring", a function of the number of nodes, a schedule,
            or a networkx graph, with one node for every rank.
        local: Makes another optimizer from `params`, such as `lambda params: torch.optim.AdamW(params, lr=1e-3)`. What
            it would change is what the algorithm descends along, with learning rate 1; the algorithm's own is unused.
        buffers: Tensors beside the parameters, such as `model.buffers()`, that neighbours average whenever a step
            communicates; only floating-point ones are.
        broadcast: Start all nodes from the parameters and buffers of rank 0, instead of from their own.
        seed: Decides the algorithm's random draws.
        communicator: The mpi4py communicator to use; all launched processes by default.
        transport: See `gossip.network.connect`.

    Attributes:
        algorithm: The algorithm, with the learning rate of the last step.
        network: Links the nodes; `network.round` counts the rounds.
        node: The number of this node, which is its rank.
        n: The number of nodes.

    Raises:
        UsageError: (a ValueError) if this cannot be run as asked, on every rank.
    """

    _step_supports_amp_scaling = True  # GradScaler leaves infinite gradients to `step`, by `grad_scale` and `found_inf`

    def __init__(
        self,
        params: Iterable[Any],
        algorithm: Algorithm,
        topology: str | Callable[[int], Schedule] | Schedule | networkx.Graph = "exponential",
        *,
        local: Callable[[Any], torch.optim.Optimizer] | None = None,
        buffers: Iterable[Tensor] = (),
        broadcast: bool = True,
        seed: int = 0,
        communicator: MPI.Intracomm | None = None,
        transport: Transport = "auto",
    ) -> None:
        processes = launcher.world() if communicator is None else launcher.over(communicator)
        launcher.speak_once(processes)
        launcher.share_cores(processes)
        processes.together(lambda: self._take(list(params), algorithm, local, [*buffers]))
        reference = processes.broadcast(self._shapes())
        processes.together(lambda: self._check_shapes(reference, processes.rank))
        choose = partial(_choose, topology, algorithm, processes.size)
        # A function may draw its graph, which must be the same one everywhere.
        chosen = processes.together(choose) if isinstance(topology, Schedule) else processes.from_root(choose)
        if broadcast:
            self._equalize(processes)

        if processes.rank == 0:
            warn_of_bias(algorithm, chosen)

        self.network = network = connect(chosen, processes, seed, transport)
        self.n, self.node = network.n, network.nodes[0]
        self._flat = FlatParameters(self._parameters)
        self._scratch = self._flat.stack.clone() if local else None
        self._state = processes.together(lambda: self.algorithm.start(self._flat.stack, network))
        network.finish_step()
        self._flat.bind(self._state.x)
        self._shared = False  # whether neighbours may be reading the parameters where they are
        self._averaged = False
        torch.serialization.add_safe_globals([*_of_messages(algorithm), *_blocks()])
        self._release = partial(_release, network, processes)
        if processes.size > 1:
            atexit.register(self._release)

    def _take(
        self,
        params: list[Any],
        algorithm: Algorithm,
        local: Callable[[Any], torch.optim.Optimizer] | None,
        buffers: Sequence[Tensor],
    ) -> None:
        """Take over what is optimized, if it can be."""
        name, lr = type(algorithm).__name__, _learning_rate(algorithm)
        if lr is None:
            raise ValueError(f"{name} has no learning rate lr, so it cannot be an optimizer")
        if algorithm.auxiliary:
            raise ValueError(f"{name} has auxiliary nodes, and in one's own loop every node has data")
        if algorithm.takes_norms:
            raise ValueError(
                f"{name} as set up needs the norms of gradients of single samples, which a loop does not give"
            )
        self._shown = learning_rate(lr, 0)  # what a schedule last set in the parameter groups
        if local is None:
            self._local = None
            self.algorithm = algorithm
            super().__init__(params, {"lr": self._shown})
            if isinstance(lr, LearningRate):
                self._check_follows(lr)
        else:
            if isinstance(lr, LearningRate):
                raise ValueError(f"{name} does not use its lr beside a local optimizer: put the schedule on that one")
            if not algorithm.proportional:
                raise ValueError(f"{name} as set up cannot take its directions from a local optimizer")
            self.algorithm = _with_learning_rate(algorithm, 1.0)
            self._local = local(params)
            super().__init__(self._local.param_groups, self._local.defaults)
            self._share_local()
        self._shares = [1.0] * len(self.param_groups)
        if local is None:
            self._see_learning_rates()
        self._parameters = [p for p in self._all_parameters() if p.requires_grad]
        if not self._parameters:
            raise ValueError("none of the parameters requires a gradient")
        kinds = sorted({f"{p.dtype} on {p.device}" for p in self._parameters})
        if len(kinds) > 1 or not self._parameters[0].is_floating_point():
            raise ValueError(
                f"the parameters must share one floating-point type and one device, these are {', '.join(kinds)}"
            )
        self.algorithm = self.algorithm.for_layout(
            Layout({str(i): tuple(p.shape) for i, p in enumerate(self._parameters)})
        )
        self._buffers = [buffer for buffer in buffers if buffer.is_floating_point()]

    def _all_parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _share_local(self) -> None:
        assert self._local is not None
        self.param_groups, self.state = self._local.param_groups, self._local.state

    def _shapes(self) -> list[tuple[int, ...]]:
        return [tuple(each.shape) for each in [*self._parameters, *self._buffers]]

    def _check_shapes(self, reference: list[tuple[int, ...]], rank: int) -> None:
        if self._shapes() != reference:
            raise ValueError(f"rank {rank} has parameters or buffers of other shapes than rank 0")

    @torch.no_grad()
    def _equalize(self, processes: Communicator) -> None:
        tensors = [*self._all_parameters(), *self._buffers]
        values = processes.broadcast([each.detach().cpu().clone() for each in tensors])
        for each, value in zip(tensors, values, strict=True):
            each.copy_(value)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if hasattr(self, "network"):
            raise ValueError("a gossip.Optimizer takes no further parameters: make another one of all of them")
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One iteration of the algorithm, with the gradients that the last backward passes left; collective.

        Args:
            closure: Computes the loss and its gradients, and returns the loss. Algorithms that look at the loss need
                it; to them it is NaN otherwise.

        Returns:
            What the closure returned.

        Raises:
            RuntimeError: if the parameters were changed in place while neighbours may have been reading them.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._check_not_averaged()
        self._see_changes()
        self._flat.collect()
        gradient = self._flat.gradient
        seen = torch.as_tensor(math.nan if loss is None else loss, dtype=gradient.dtype, device=gradient.device)
        sample = Sample(self._scale_groups(self._direction()), seen.detach().reshape(1))
        ended = self.network.round
        self.algorithm.advance(self._state, sample, self.network)
        if self.network.round > ended and self._buffers:
            self._mix_buffers(ended)
        self._keep_gradient()
        self._flat.bind(self._state.x)
        self.algorithm.post(self._state, self.network)
        self._shared = self.network.exposed(self._state.x)
        self._show_learning_rate()
        return loss

    def _see_changes(self) -> None:
        """Take over what happened to the parameters since the last step."""
        if self._shared and self._flat.changed:
            raise RuntimeError(
                f"parameters were changed since the last step, while neighbours may have been reading them: "
                f"{type(self.algorithm).__name__} as set up sends them during the next gradient computation; "
                f'use an order without this overlap, such as "adapt-then-combine"'
            )
        if self._flat.moved:
            self._flat.bring_back()

    def _direction(self) -> Tensor:
        """(1, d): the gradient, or what the local optimizer would subtract."""
        if getattr(self, "found_inf", 0):  # the neighbours wait for this node all the same
            return torch.zeros_like(self._flat.gradient)
        scale = getattr(self, "grad_scale", None)
        if scale is not None:
            self._flat.gradient.mul_(scale.double().reciprocal().to(self._flat.gradient))
        if self._local is None:
            return self._flat.gradient
        assert self._scratch is not None
        self._flat.bind(self._scratch.copy_(self._state.x))  # x itself may be on its way
        self._local.step()
        return self._state.x - self._scratch

    def _scale_groups(self, direction: Tensor) -> Tensor:
        """Give the algorithm its learning rate, and each group its share of it."""
        lr = _learning_rate(self.algorithm)
        if self._local is not None:
            return direction
        if isinstance(lr, LearningRate):
            self._check_follows(lr)
            return direction
        self.algorithm = _with_learning_rate(self.algorithm, self._see_learning_rates())
        if all(share == 1 for share in self._shares):
            return direction
        sizes = [sum(p.numel() for p in group["params"] if p.requires_grad) for group in self.param_groups]
        parts = zip(self._shares, direction.split(sizes, dim=1), strict=True)
        return torch.cat([share * part for share, part in parts], dim=1)

    def _see_learning_rates(self) -> float:
        """The largest one, of which the other groups get a share."""
        rates = [float(group["lr"]) for group in self.param_groups]
        largest = max(rates)
        if largest > 0:  # otherwise momentum is collected in the proportions from before
            self._shares = [rate / largest for rate in rates]
        if min(self._shares) < 1 and not self.algorithm.proportional:
            name = type(self.algorithm).__name__
            raise ValueError(
                f"{name} as set up needs the same learning rate in all parameter groups; they have {rates}"
            )
        return largest

    def _check_follows(self, lr: LearningRate) -> None:
        if any(group["lr"] != self._shown or "initial_lr" in group for group in self.param_groups):
            raise ValueError(
                f"the learning rate follows {lr}, so parameter groups and torch's schedulers cannot set it; "
                f"give {type(self.algorithm).__name__} a number instead"
            )

    def _show_learning_rate(self) -> None:
        lr = _learning_rate(self.algorithm)
        if isinstance(lr, LearningRate):
            self._shown = lr(self._state.step)
            for group in self.param_groups:
                group["lr"] = self._shown

    def _keep_gradient(self) -> None:
        """The next gradients come into the same memory; a state that refers to it needs its own."""
        memory = self._flat.gradient.untyped_storage().data_ptr()

        def own(value: Tensor) -> Tensor:
            return value.clone() if value.untyped_storage().data_ptr() == memory else value

        map_tensors(self._state, own)

    def _mix_buffers(self, ended: int) -> None:
        """Average the buffers with the neighbours', as a part of the round that just ended."""
        self.network.round = ended
        mixed = self.network.mix(self._flat_buffers())
        self.network.finish_step()
        self._set_buffers(mixed[0])

    def _flat_buffers(self) -> Tensor:
        """(1, b), at least in single precision."""
        dtype = reduce(torch.promote_types, (buffer.dtype for buffer in self._buffers), torch.float32)
        return torch.cat([buffer.reshape(-1).to(dtype) for buffer in self._buffers])[None]

    def _set_buffers(self, flat: Tensor) -> None:
        for buffer, value in zip(self._buffers, unflatten(flat, self._buffers), strict=True):
            buffer.copy_(value)

    @contextmanager
    def average(self) -> Iterator[None]:
        """Within it, parameters and buffers are the exact average over all nodes; to evaluate or save. Collective.

        It is the average of the models that the algorithm outputs, which with some methods are not the parameters in
        training. Afterwards everything is as before.
        """
        self._check_not_averaged()
        self._see_changes()
        with torch.no_grad(), self.network.unrecorded():
            mean = self.network.mean(self.algorithm.model(self._state))
            buffers = [buffer.clone() for buffer in self._buffers]
            if buffers:
                self._set_buffers(self.network.mean(self._flat_buffers()))
        self._flat.bind(mean[None])
        self._averaged = True
        try:
            yield
        finally:
            self._averaged = False
            self._flat.bind(self._state.x)
            with torch.no_grad():
                for buffer, value in zip(self._buffers, buffers, strict=True):
                    buffer.copy_(value)

    def _check_not_averaged(self) -> None:
        if self._averaged:
            raise RuntimeError("the parameters are those of the average; leave `with optimizer.average()` first")

    @property
    def traffic(self) -> Traffic:
        """What this node has sent since this optimizer was made, exact; see `algorithms.Traffic`."""
        return self.network.traffic

    def state_dict(self) -> dict[str, Any]:
        """This node's state beside the model: every rank saves its own, together with its model's `state_dict`.

        A new optimizer that loads it, and a model that loads the other, go on with the same bits.
        """
        saved = super().state_dict() if self._local is None else self._local.state_dict()
        return saved | {
            "gossip": {
                "algorithm": type(self.algorithm).__name__,
                "state": copy.deepcopy({name: value for name, value in vars(self._state).items() if name != "x"}),
                "round": self.network.round,
                "shares": self._shares,
            }
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state, before or after the model does; collective.

        Raises:
            ValueError: if it is the state of another algorithm, or of other parameters.
        """
        saved = state_dict["gossip"]
        if saved["algorithm"] != type(self.algorithm).__name__:
            raise ValueError(f"a state of {saved['algorithm']} cannot be loaded by {type(self.algorithm).__name__}")
        if self._local is None:
            super().load_state_dict(state_dict)
        else:
            self._local.load_state_dict(state_dict)
            self._share_local()
        self.network.complete()  # what is under way belongs to the state that is given up
        self.network.finish_step()
        self.network.round = saved["round"]
        self._shares = list(saved["shares"])
        x = self._state.x
        parts = copy.deepcopy(saved["state"])
        self._state = copy.copy(self._state)
        vars(self._state).update({name: map_tensors(part, partial(_beside, x)) for name, part in parts.items()})
        self._shared = False
        self._show_learning_rate()

    @property
    def chosen(self) -> dict[str, Any]:
        """Hyper-parameters as the algorithm has settled them at the start; see `algorithms.Algorithm.chosen`."""
        return self.algorithm.chosen(self._state)

    def report(self) -> dict[str, float]:
        """What the algorithm has to say of this node so far, such as how often it fired, by name."""
        return {name: float(value[0]) for name, value in self.algorithm.report(self._state).items()}

    def close(self) -> None:
        """Complete what is under way and leave the parameters to themselves; collective. Happens at exit anyway."""
        atexit.unregister(self._release)
        self._flat.release()
        self._release()


def _beside(x: Tensor, value: Tensor) -> Tensor:
    """A tensor that a state holds, where x is if it is a stack like x."""
    return value.to(x.device) if value.shape == x.shape else value


def _of_messages(owner: Algorithm | Compressor) -> list[Any]:
    """The classes of the messages that may wait in a state, for torch.load to read them."""
    parts = [value for value in vars(owner).values() if isinstance(value, Compressor)]
    return [Message, *(kind for part in parts for kind in (type(part), *_of_messages(part)))]


def _blocks(kind: type[Block] = Block) -> list[type[Block]]:
    """The classes of the blocks that a state may have, for torch.load to read them."""
    return [kind, *(each for derived in kind.__subclasses__() for each in _blocks(derived))]


def _release(network: InProcessNetwork, processes: Communicator) -> None:
    network.close()
    processes.close()


def _choose(topology: Any, algorithm: Algorithm, n: int) -> Schedule:
    """The topology of n nodes, if the algorithm can use it."""
    if isinstance(topology, str):
        families = {family.__name__: family for family in FAMILIES}
        if topology not in families:
            raise ValueError(f"there is no topology {topology!r}; there are {', '.join(families)}")
        topology = families[topology]
    made = topology(n) if callable(topology) else topology
    chosen = made if isinstance(made, Schedule) else Topology(made)
    if chosen.n != n:
        raise ValueError(f"{chosen.name} has {chosen.n} nodes but there are {n} ranks, and every rank is one node")
    check_needs(algorithm, chosen)
    return chosen


def _with_learning_rate(algorithm: Algorithm, lr: float) -> Algorithm:
    """The same algorithm with another learning rate, which may be 0 here."""
    if _learning_rate(algorithm) != lr:
        algorithm = copy.copy(algorithm)
        object.__setattr__(algorithm, "lr", lr)
    return algorithm


def _learning_rate(algorithm: Algorithm) -> float | LearningRate | None:
    return getattr(algorithm, "lr", None)
