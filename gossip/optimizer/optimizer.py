"""Decentralized training in one's own loop: a `torch.optim.Optimizer` whose step talks to the neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from algorithms import Algorithm, Layout, NonFiniteError, Sample, Traffic
from gossip.needs import bias, warn_caller
from gossip.network import Communicator, TransportName, connect
from gossip.optimizer.agreement import agreed_topology, equalize, refuse_other_parameters, refuse_other_settings
from gossip.optimizer.arguments import check_algorithm, check_kinds, check_unfrozen, listed, loss_seen
from gossip.optimizer.buffers import Buffers
from gossip.optimizer.changes import Changes
from gossip.optimizer.decay import WeightDecay
from gossip.optimizer.flat import FlatParameters
from gossip.optimizer.groups import Groups, Trained
from gossip.optimizer.joining import Joinable
from gossip.optimizer.local import local_direction, made_local
from gossip.optimizer.memory import Widening, at_rest, widened
from gossip.optimizer.places import places_of
from gossip.optimizer.rates import LearningRates, beside_local
from gossip.optimizer.resumable import Resumable
from gossip.optimizer.states import Identity, classes_within, leave_memory, restored, saved
from gossip.optimizer.stopping import Stopping
from gossip.processes.allocator import freed_memory_kept
from gossip.processes.calls import AVERAGE, CLOSE, LOAD_STATE, OPTIMIZER, STEP
from gossip.processes.cores import shared_cores
from gossip.processes.ending import closed_together, speaking_once
from gossip.processes.gathering import check_stall_timeout, gathered
from gossip.processes.start import refusing
from topologies import Schedule

if TYPE_CHECKING:
    import networkx

    from gossip.processes.mpi import Intracomm


class Optimizer(Resumable, Joinable, torch.optim.Optimizer):
    """Every rank is a node that trains its own model; `step` is one iteration of the algorithm. Collective.

    The parameters that require a gradient come to lie in one vector (d,), each with a storage of its own there, and so
    do their gradients. What the algorithm can send ahead travels during the next forward and backward pass.

    Parameters that do not require a gradient are left alone and do not travel, until they do require one: unfrozen on
    all ranks at the same step, they are trained from then on. Methods whose state says something of each node alone go
    on with it then, others start anew from the models; the momentum of each node stays in any case. Those without a
    gradient in a step, and those frozen later, stay where they are but for the averages with the neighbours: neither
    momentum nor weight decay moves them.

    The learning rate is that of the parameter groups, so torch's schedulers work, unless the algorithm's `lr` is a
    schedule, which then rules. Groups may differ in it: the algorithm runs with the largest one, and the gradients of
    the others are scaled down. Their `weight_decay` takes the place of the algorithm's or its rule's, in the form it
    has there; where there is none, that multiple of the parameters is added to their gradient, as in torch.optim.SGD.
    Groups have no other options: what would have no effect is refused, also when it is set later. Schedulers that cycle
    momentum (OneCycleLR, CyclicLR) need cycle_momentum=False.

    Parameters may be changed between steps, as torch allows it, unless the algorithm sends them during the next
    gradient computation: then the next step refuses it. Of methods that keep more of the parameters, such as those of
    the iteration before, a warning says that they do not follow a change that stays.

    With a `torch.amp.GradScaler`, a node that finds infinite gradients takes part with a zero gradient.

    Args:
        params: Parameters or parameter groups, in the same order on every rank.
        algorithm: What is computed and sent. Every rank is a node with data: what a server would do all nodes do.
        topology: Who talks to whom: the name of a family such as "ring", a function of the number of nodes, a schedule,
            or a networkx graph, with one node for every rank.
        local: Makes another optimizer from `params`, such as `lambda params: torch.optim.AdamW(params, lr=1e-3)`. What
            it would change is what the algorithm descends along, with learning rate 1; the algorithm's own is unused.
            The options of groups are those of that optimizer. It is called twice, for a trial on copies.
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
            processes.together(lambda: self._take(listed(params), algorithm, local, buffers))
            refuse_other_parameters(processes, self.param_groups, self._buffers.tensors)
            same = {"algorithm": algorithm, "seed": seed, "transport": transport, "broadcast": broadcast}
            refuse_other_settings(processes, topology, self._local, same)
            schedule = agreed_topology(processes, topology, algorithm)
            if broadcast:
                equalize(processes, [*self._trained.parameters, *self._trained.left_out, *self._buffers.tensors])
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
        self._flat = FlatParameters(self._trained.parameters)
        self._state = processes.together(lambda: self.algorithm.start(self._flat.stack, network))
        network.finish_step()
        self._flat.bind(self._state.x)
        self._changes = Changes(self._unbound)
        self._averaged = False
        self._seen: Any = None  # the last loss
        torch.serialization.add_safe_globals(classes_within(self.algorithm))

    def _take(
        self,
        params: list[Any],
        algorithm: Algorithm,
        local: Callable[[Any], torch.optim.Optimizer] | None,
        buffers: Iterable[Tensor],
    ) -> None:
        """Take over what is optimized, if it can be."""
        self._given = check_algorithm(algorithm)
        self._rates, self._decay = LearningRates(self._given), WeightDecay(self._given)
        if local is None:
            self._local, self._unbound = None, self._given
            self._make(params, {"lr": self._rates.first, "weight_decay": self._decay.default})
        else:
            self._unbound = beside_local(self._given)
            self._local = made_local(local, params, unfit=Optimizer)
            self._make(self._local.param_groups, self._local.defaults)
            self._share_local()
        self._groups = Groups(self._given if self._local is None else None, self.param_groups)
        self._trained = Trained.of(self.param_groups)
        check_kinds(self._trained.parameters)
        self.algorithm = self._bound()
        if self._local is None:
            self._rates.begin(self._decay.begin(self.algorithm, self.param_groups), self.param_groups)
        self._buffers = Buffers(buffers)

    def _make(self, params: list[Any], defaults: dict[str, Any]) -> None:
        try:
            super().__init__(params, defaults)
        except TypeError as error:
            raise ValueError(f"params are not allowed: {error}") from error

    def _bound(self) -> Algorithm:
        """The algorithm for the parameters that are trained."""
        shapes = {str(i): place.shape for i, place in enumerate(places_of(self._trained.parameters))}
        return self._unbound.for_layout(Layout(shapes))

    def _share_local(self) -> None:
        assert self._local is not None
        self.param_groups, self.state = self._local.param_groups, self._local.state
        for kind in ("state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post"):
            setattr(self, f"_optimizer_{kind}_hooks", getattr(self._local, f"_optimizer_{kind}_hooks"))

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
            RuntimeError: if the parameters were changed while neighbours may have been reading them.
            NonFiniteError: (an ArithmeticError) if the gradient has a NaN or an infinite number; of a large model a
                sample is looked at, another one in each step.
            ValueError: if a parameter group has got an option or parameters that it cannot have, or a parameter was
                unfrozen that cannot be trained with the others.
        """
        self._check_not_averaged()
        loss = self._seen if self._follows else None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._begin(STEP)
        self._seen = loss
        self._groups.check(self.param_groups)
        self._see_changes()
        self._changes.step()
        self._take_up()
        idle = () if self._follows else self._flat.collect()
        seen = loss_seen(math.nan if loss is None else loss, self._flat.gradient)
        sample = Sample(self._scaled(self._direction(idle), idle), seen)
        ended = self.network.round
        with at_rest(self._state, idle, self._flat.places):
            self.algorithm.advance(self._state, sample, self.network)
        if self.network.round > ended and self._buffers.tensors:
            self._buffers.mix(self.network, ended)
        leave_memory(self._state, self._flat.gradient)  # into which the next gradients come
        self._flat.bind(self._state.x)
        self.algorithm.post(self._state, self.network)
        self._changes.see_readers(self._flat, self.n > 1 and self.network.exposed(self._state.x), self._state.step)
        self._rates.show(self.algorithm, self.param_groups, self._state.step)
        return loss

    def _see_changes(self) -> None:
        """Take over what happened to the parameters since the last step; before the first one collective.

        If some rank has loaded a model since the start, all start from what they have then.
        """
        changed = self._changes.see(self._flat)
        if self._changes.fresh and self._processes.first_rank_where(changed) is not None:
            self._state = self.algorithm.start(self._flat.stack, self.network)
            self.network.finish_step()
            self._flat.bind(self._state.x)

    def _take_up(self) -> None:
        """Train what was frozen when this optimizer was made and is no longer, on all ranks alike; collective then."""
        before, left_out = self._flat, self._trained.left_out
        if not any(p.requires_grad or p.grad is not None for p in left_out):
            return
        self._trained = Trained.of(self.param_groups, before.parameters)
        self._processes.together(lambda: check_unfrozen(left_out, self._trained.parameters))
        self.network.complete()  # what is under way is of the narrower vector
        self.network.finish_step()
        before.release()
        self._flat = FlatParameters(self._trained.parameters)
        self.algorithm = self._bound()
        known = set(before.parameters)
        numbers = [i for i, p in enumerate(self._trained.parameters) if p in known]
        widening = Widening(numbers, self._flat.places)
        self._state = widened(self.algorithm, self._state, self._flat.stack, widening, self.network)
        self.network.finish_step()
        self._flat.bind(self._state.x)

    def _direction(self, idle: Sequence[int]) -> Tensor:
        """(1, d): the gradient, or what the local optimizer would subtract."""
        if getattr(self, "found_inf", 0) or self._follows:  # the neighbours wait for this node all the same
            return torch.zeros_like(self._flat.gradient)
        scale = getattr(self, "grad_scale", None)
        if scale is not None:
            self._flat.gradient.mul_(scale.double().reciprocal().to(self._flat.gradient))
        if self._flat.diverged(self._state.step):  # before it spreads to the neighbours
            raise NonFiniteError(f"the gradient of step {self._state.step + 1} has a NaN or an infinite number")
        if self._local is None:
            return self._flat.gradient
        return local_direction(self._local, self._flat, self._state.x, idle)

    def _scaled(self, direction: Tensor, idle: Sequence[int]) -> Tensor:
        """Give the algorithm its learning rate and weight decay, and each group its share of them."""
        if self._local is not None:
            return direction
        groups, resting = self.param_groups, set(idle)
        values = [float(group["weight_decay"]) for group in groups]
        decays = [0.0 if i in resting else values[number] for i, number in enumerate(self._trained.groups)]
        self.algorithm, direction = self._decay.apply(
            self.algorithm, self._flat.places, decays, self._state.x, direction
        )
        self.algorithm, direction = self._rates.apply(self.algorithm, groups, self._trained.sizes, direction)
        return direction

    @contextmanager
    def average(self) -> Iterator[None]:
        """Within it, parameters and buffers are the exact average over all nodes; to evaluate or save. Collective.

        It is the average of the models that the algorithm outputs, which with some methods are not the parameters in
        training, unless these were changed since the last step. Afterwards everything is as before.
        """
        self._check_not_averaged()
        self._begin(AVERAGE)
        self._see_changes()
        with torch.no_grad(), self.network.unrecorded():
            mean = self.network.mean(self._state.x if self._changes.standing else self.algorithm.model(self._state))
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
        rest = {"state": saved(self._state), "round": self.network.round, "shares": self._rates.shares}
        return groups | {"gossip": asdict(self._identity) | rest}

    @property
    def _identity(self) -> Identity:
        return Identity.of(self._given, self._local, self._flat.places, self.network)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state, before or after the model does; collective.

        Raises:
            UsageError: (a ValueError) on every rank, if on any it is the state of another node, of another number of
                nodes, of another algorithm or one with other settings, of other parameters, or no such state.
        """
        self._begin(LOAD_STATE)
        with speaking_once(self._processes):
            given = self._processes.together(lambda: self._identity.check(state_dict, self.param_groups))
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
        self._changes.expect(self._flat)
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
