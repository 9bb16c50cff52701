"""Decentralized training in one's own loop: a `torch.optim.Optimizer` whose step talks to the neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from algorithms import Algorithm, Layout, LearningRate, Sample, Traffic
from algorithms.schedules.learning_rate import learning_rate
from gossip.needs import bias, warn_caller
from gossip.network import Communicator, TransportName, connect
from gossip.optimizer.agreement import equalize, refuse_other_parameters
from gossip.optimizer.buffers import Buffers
from gossip.optimizer.choice import chosen
from gossip.optimizer.flat import FlatParameters
from gossip.optimizer.joining import Joining, joined
from gossip.optimizer.rates import LearningRates, learning_rate_of, with_learning_rate
from gossip.optimizer.resumable import Resumable
from gossip.optimizer.states import classes_within, leave_memory, restored, saved
from gossip.optimizer.stopping import Stopping
from gossip.processes.allocator import freed_memory_kept
from gossip.processes.calls import AVERAGE, CLOSE, OPTIMIZER, STEP
from gossip.processes.cores import shared_cores
from gossip.processes.ending import closed_together, speaking_once
from gossip.processes.gathering import check_stall_timeout, gathered
from gossip.processes.start import refusing
from gossip.records.sameness import refuse_disagreement
from topologies import Schedule

if TYPE_CHECKING:
    import networkx

    from gossip.processes.announcements import Announcements
    from gossip.processes.mpi import Intracomm


class Optimizer(Resumable, torch.optim.Optimizer):
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
        algorithm: What is computed and sent. Every rank is a node with data: what a server would do all nodes do.
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
        stall_timeout: Seconds after which a rank that still waits for others says for whom and ends the job; None for
            never. At the end of the program ranks wait for each other without a limit, if all have made the same calls.

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
        communicator: Intracomm | None = None,
        transport: TransportName = "auto",
        stall_timeout: float | None = 600.0,
    ) -> None:
        with refusing():
            self._processes = processes = gathered(communicator, OPTIMIZER, stall_timeout)
        with ExitStack() as stack:  # undone if anything is refused, and kept for `close` if nothing is
            stack.enter_context(speaking_once(processes))
            stack.enter_context(shared_cores(processes))
            stack.enter_context(freed_memory_kept())
            stack.enter_context(closed_together(processes, processes.close))
            processes.together(lambda: check_stall_timeout(stall_timeout))
            processes.together(lambda: self._take(list(params), algorithm, local, buffers))
            refuse_other_parameters(processes, self.param_groups, self._buffers.tensors)
            refuse_disagreement(
                processes,
                algorithm=algorithm,
                topology=topology if isinstance(topology, Schedule | str) else "the one of rank 0",
                seed=seed,
                transport=transport,
                broadcast=broadcast,
                local_optimizer=type(self._local).__name__,
                default_dtype_of_torch=str(torch.get_default_dtype()),
            )
            choose = partial(chosen, topology, algorithm, processes.size)
            # A function may draw its graph, which must be the same one everywhere.
            schedule = processes.together(choose) if isinstance(topology, Schedule) else processes.from_root(choose)
            if broadcast:
                equalize(processes, [*self._all_parameters(), *self._buffers.tensors])
            biased = bias(algorithm, schedule)
            if biased and processes.rank == 0:
                warn_caller(biased)
            self.network = connect(schedule, processes, seed, transport)
            stack.enter_context(closed_together(processes, self.network.close))
            self._start(processes)
            self._stopping = Stopping(processes)
            stack.enter_context(closed_together(processes, self._stopping.close))
            self._resources = stack.pop_all()
        processes.at_end(self._resources.close)

    def _start(self, processes: Communicator) -> None:
        network = self.network
        self.n, self.node = network.n, network.nodes[0]
        self._flat = FlatParameters(self._parameters)
        self._scratch = self._flat.stack.clone() if self._local is not None else None
        self._state = processes.together(lambda: self.algorithm.start(self._flat.stack, network))
        network.finish_step()
        self._flat.bind(self._state.x)
        self._shared = False  # whether neighbours may be reading the parameters where they are
        self._averaged = False
        self._seen: Any = None  # the last loss
        self._joining: Joining | None = None
        self._announcements: Announcements | None = None
        torch.serialization.add_safe_globals(classes_within(self.algorithm))

    def _take(
        self,
        params: list[Any],
        algorithm: Algorithm,
        local: Callable[[Any], torch.optim.Optimizer] | None,
        buffers: Iterable[Tensor],
    ) -> None:
        """Take over what is optimized, if it can be."""
        name, lr = type(algorithm).__name__, learning_rate_of(algorithm)
        if lr is None:
            raise ValueError(f"{name} has no learning rate lr, so it cannot be an optimizer")
        algorithm = algorithm.replicated()
        if algorithm.without_data:
            raise ValueError(f"{name} has auxiliary nodes, and in one's own loop every node has data")
        if algorithm.takes_norms:
            raise ValueError(
                f"{name} as set up needs the norms of gradients of single samples, which a loop does not give"
            )
        if local is None:
            self._local = None
            self.algorithm = algorithm
            super().__init__(params, {"lr": learning_rate(lr, 0)})
        else:
            if isinstance(lr, LearningRate):
                raise ValueError(f"{name} does not use its lr beside a local optimizer: put the schedule on that one")
            if not algorithm.proportional:
                raise ValueError(f"{name} as set up cannot take its directions from a local optimizer")
            self.algorithm = with_learning_rate(algorithm, 1.0)
            self._local = local(params)
            super().__init__(self._local.param_groups, self._local.defaults)
            self._share_local()
        self._rates = LearningRates(algorithm, len(self.param_groups))
        if self._local is None:
            if isinstance(lr, LearningRate):
                self._rates.check_follows(algorithm, self.param_groups)
            self._rates.see(algorithm, self.param_groups)
        self._parameters = [p for p in self._all_parameters() if p.requires_grad]
        _check_kinds(self._parameters)
        shapes = {str(i): tuple(p.shape) for i, p in enumerate(self._parameters)}
        self.algorithm = self.algorithm.for_layout(Layout(shapes))
        self._buffers = Buffers(buffers)

    def _all_parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _share_local(self) -> None:
        assert self._local is not None
        self.param_groups, self.state = self._local.param_groups, self._local.state

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
        self._check_not_averaged()
        loss = self._seen if self._follows else None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._begin(STEP)
        self._seen = loss
        self._see_changes()
        self._flat.collect()
        gradient = self._flat.gradient
        seen = torch.as_tensor(math.nan if loss is None else loss, dtype=gradient.dtype, device=gradient.device)
        sample = Sample(self._scaled(self._direction()), seen.detach().reshape(1))
        ended = self.network.round
        self.algorithm.advance(self._state, sample, self.network)
        if self.network.round > ended and self._buffers.tensors:
            self._buffers.mix(self.network, ended)
        leave_memory(self._state, self._flat.gradient)  # into which the next gradients come
        self._flat.bind(self._state.x)
        self.algorithm.post(self._state, self.network)
        self._shared = self.network.exposed(self._state.x)
        self._rates.show(self.algorithm, self.param_groups, self._state.step)
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
        if getattr(self, "found_inf", 0) or self._follows:  # the neighbours wait for this node all the same
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

    def _scaled(self, direction: Tensor) -> Tensor:
        """Give the algorithm its learning rate, and each group its share of it."""
        if self._local is None:
            self.algorithm, direction = self._rates.apply(self.algorithm, self.param_groups, direction)
        return direction

    @contextmanager
    def average(self) -> Iterator[None]:
        """Within it, parameters and buffers are the exact average over all nodes; to evaluate or save. Collective.

        It is the average of the models that the algorithm outputs, which with some methods are not the parameters in
        training. Afterwards everything is as before.
        """
        self._check_not_averaged()
        self._begin(AVERAGE)
        self._see_changes()
        with torch.no_grad(), self.network.unrecorded():
            mean = self.network.mean(self.algorithm.model(self._state))
            buffers = self._buffers.take_mean(self.network)
        self._flat.bind(mean[None])
        self._averaged = True
        try:
            yield
        finally:
            self._averaged = False
            self._flat.bind(self._state.x)
            with torch.no_grad():
                self._buffers.set_back(buffers)

    def join(self, *others: Optimizer) -> AbstractContextManager[None]:
        """Within it, ranks may make different numbers of steps, as with torch.distributed.algorithms.Join. Collective.

            with optimizer.join():
                for batch in batches:  # of this node, more or fewer than others have
                    ...

        A rank that has come to its end takes part in the steps of the others until the last one has come to its end, as
        if its loss were constant from then on: with a zero gradient, so that what it has of momentum runs out; a local
        optimizer makes no step. It averages parameters and buffers as ever, and learning rates stay as they are in its
        groups. Then all have made the same number of steps. `average` can be used within it, if all ranks that have
        batches do.

        Args:
            others: Further optimizers whose steps are made in the same loop, in the same order on every rank.

        Raises:
            RuntimeError: within another one.
        """
        return joined([self, *others])

    @property
    def _follows(self) -> bool:
        return self._joining is not None and self._joining.follows

    def _begin(self, call: str) -> None:
        if self._joining is not None:
            self._joining.begins(self, call)
        self._processes.begin(call)

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
        groups = super().state_dict() if self._local is None else self._local.state_dict()
        return groups | {
            "gossip": {
                "algorithm": type(self.algorithm).__name__,
                "state": saved(self._state),
                "round": self.network.round,
                "shares": self._rates.shares,
            }
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state, before or after the model does; collective.

        Raises:
            ValueError: if it is the state of another algorithm, or of other parameters.
        """
        given = state_dict["gossip"]
        if given["algorithm"] != type(self.algorithm).__name__:
            raise ValueError(f"a state of {given['algorithm']} cannot be loaded by {type(self.algorithm).__name__}")
        if self._local is None:
            super().load_state_dict(state_dict)
        else:
            self._local.load_state_dict(state_dict)
            self._share_local()
        self.network.complete()  # what is under way belongs to the state that is given up
        self.network.finish_step()
        self.network.round = given["round"]
        self._rates.shares = list(given["shares"])
        self._state = restored(self._state, given["state"])
        self._shared = False
        self._rates.show(self.algorithm, self.param_groups, self._state.step)

    @property
    def chosen(self) -> dict[str, Any]:
        """Hyper-parameters as the algorithm has settled them at the start; see `algorithms.Algorithm.chosen`."""
        return self.algorithm.chosen(self._state)

    def report(self) -> dict[str, float]:
        """What the algorithm has to say of this node so far, such as how often it fired, by name."""
        return {name: float(value[0]) for name, value in self.algorithm.report(self._state).items()}

    def close(self) -> None:
        """Complete what is under way and leave the parameters to themselves; collective. Happens at exit anyway."""
        self._begin(CLOSE)
        self._processes.no_longer_at_end(self._resources.close)
        self._flat.release()
        self._resources.close()


def _check_kinds(parameters: Sequence[Tensor]) -> None:
    """Refuse parameters that cannot lie in one vector."""
    if not parameters:
        raise ValueError("none of the parameters requires a gradient")
    kinds = sorted({f"{p.dtype} on {p.device}" for p in parameters})
    if len(kinds) > 1 or not parameters[0].is_floating_point():
        raise ValueError(
            f"the parameters must share one floating-point type and one device, these are {', '.join(kinds)}"
        )
