"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from algorithms import NonFiniteError
from gossip.checkpoint import Keeper, Moment
from gossip.drivers.gradients import Gradients
from gossip.errors import DivergedError
from gossip.execution.measure import measure
from gossip.execution.stage import Stage
from gossip.network import Communicator
from gossip.records.recorder import Recorder

if TYPE_CHECKING:
    from gossip.execution.survival import Survival
    from gossip.execution.training import Training

EVALUATIONS = 10  # of a run, unless told otherwise


def train(
    training: Training,
    stage: Stage,
    processes: Communicator,
    recorder: Recorder,
    keeper: Keeper | None,
    survival: Survival | None,
) -> Tensor:
    """The models (k, d) of the local nodes after all steps; collective.

    Everything measured at step t is about the models after t steps.
    """
    network, steps, auxiliary = stage.network, training.steps, training.algorithm.auxiliary
    algorithm = processes.together(lambda: training.prepared(stage.workload, stage.ids))
    with_data = [stage.ids[node] for node in network.nodes if node < network.n - auxiliary]
    gradients = Gradients(training.oracle, stage.workload, with_data, training.seed)
    evaluate_every = training.evaluate_every or max(1, steps // EVALUATIONS)
    began = time.perf_counter()
    span = processes.spans.span
    if stage.moment is not None:
        moment = stage.moment
    elif keeper is not None and stage.folder is not None:
        moment = keeper.resume(stage.folder, algorithm, stage.x.device)
        processes.from_root(lambda: recorder.replace("config.yaml", training.description(network.topology)))
    else:
        with span("start", "compute"):
            state = processes.together(lambda: algorithm.start(stage.x, network))
        network.finish_step()
        moment = Moment(0, state, processes.together(lambda: gradients.start(state.x)), 0.0)
    state, oracle = moment.algorithm, moment.oracle
    seconds = moment.seconds  # spent training, without evaluation
    recorder.settled(algorithm.chosen(state))
    if keeper is not None:
        keeper.begin(moment.step)

    for step in range(moment.step, steps + 1):
        if survival is not None:
            survival.keep(step, state, oracle, seconds, network, recorder.history)
        if keeper is not None and keeper.due(step):
            seconds += time.perf_counter() - began
            keeper.save(Moment(step, state, oracle, seconds), algorithm)
            began = time.perf_counter()
        idle = algorithm.idle(state, network)
        evaluate = step % evaluate_every == 0 or step == steps
        if evaluate:
            with span("gradients", "compute"):
                sample, used = gradients.look(oracle, state.x, step, idle)
            seconds += time.perf_counter() - began
            model, reported = algorithm.model(state), algorithm.report(state)
            evaluated = training.evaluate_nodes
            metrics = measure(model, sample, used, stage.workload, network, processes, evaluated, reported, auxiliary)
            times = {"seconds": processes.broadcast(seconds)}
            if training.clock is not None:
                times["simulated_seconds"] = network.seconds
            processes.together(partial(recorder.add, {"step": step, **metrics, **times}))
            _check_finite(step, metrics)
            began = time.perf_counter()
        recorder.progress(step)
        if step == steps:
            break
        try:
            algorithm.post(state, network)  # after measuring, so that what is recorded does not include a round ahead
            if not evaluate:
                with span("gradients", "compute"):
                    sample = gradients.sample(oracle, state.x, step, idle)
            network.finish_gradients(step)
            with span("step", "compute"):
                algorithm.advance(state, sample, network)
        except NonFiniteError as error:
            # On several ranks the others do not know and wait: the job ends here.
            kind = DivergedError if processes.size == 1 else NonFiniteError
            raise kind(_diverged(step, str(error))) from error
    return algorithm.model(state)


def _check_finite(step: int, metrics: Mapping[str, float]) -> None:
    for name in ("train_loss", "test_loss"):
        if not math.isfinite(metrics[name]):
            raise DivergedError(_diverged(step, f"the {name.replace('_', ' ')} is {metrics[name]}"))


def _diverged(step: int, reason: str) -> str:
    return f"the run diverged: {reason} at step {step}; a smaller learning rate (or gamma) may help"
