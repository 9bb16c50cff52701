"""What `gossip.Optimizer` cannot run is refused in one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import torch
from torch import nn

import gossip
from algorithms import (
    L1,
    Algorithm,
    ChocoSGD,
    Cosine,
    DecentralizedAdamW,
    DecentralizedSGD,
    ExactDiffusion,
    Nids,
    NuclearNorm,
    TopK,
)
from gossip.errors import UsageError
from tests.gossip.optimizer.helpers import adamw, model
from topologies import Topology, one_peer_exponential, ring


@dataclass(frozen=True)
class WithoutRate(Algorithm):
    """Has no learning rate."""


def rates(*values: float) -> list[dict[str, Any]]:
    """Parameter groups with these learning rates."""
    return [{"params": [nn.Parameter(torch.zeros(2))], "lr": value} for value in values]


FROZEN = nn.Parameter(torch.zeros(2), requires_grad=False)
MIXED = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1, dtype=torch.float64))]
COMPLEX = [nn.Parameter(torch.zeros(1, dtype=torch.complex64))]


@pytest.mark.parametrize(
    ("params", "algorithm", "options", "says"),
    [
        (None, DecentralizedSGD(), {"topology": "rings"}, "there is no topology 'rings'; there are .*, ring, "),
        (None, DecentralizedSGD(), {"topology": ring(3)}, "ring has 3 nodes but there are 1 ranks"),
        (None, DecentralizedSGD(), {"topology": nx.cycle_graph(4)}, "custom has 4 nodes but there are 1 ranks"),
        (None, ExactDiffusion(), {"topology": one_peer_exponential(1)}, "needs a topology that is static"),
        (None, ChocoSGD(gamma="theory", compressor=TopK(k=99)), {}, "k = 99 is not allowed"),
        (None, WithoutRate(), {}, "WithoutRate has no learning rate lr"),
        (None, DecentralizedSGD(lr=Cosine()), {"local": adamw}, "does not use its lr beside a local optimizer"),
        ([{"params": [*model().parameters()], "lr": 0.3}], DecentralizedSGD(lr=Cosine()), {}, "follows Cosine"),
        ([FROZEN], DecentralizedSGD(), {}, "none of the parameters requires a gradient"),
        ([], DecentralizedSGD(), {}, "empty parameter list"),
        (rates(0.1, 0.2), DecentralizedAdamW(), {}, "needs the same learning rate in all parameter groups; they have"),
        (rates(0.1, 0.2), Nids(prox=L1()), {}, "Nids as set up needs the same learning rate in all parameter groups"),
        (None, DecentralizedAdamW(), {"local": adamw}, "cannot take its directions from a local optimizer"),
        (None, DecentralizedSGD(prox=L1()), {"local": adamw}, "cannot take its directions from a local optimizer"),
        ([nn.Parameter(torch.zeros(3))], DecentralizedSGD(prox=NuclearNorm()), {}, "the model has no matrix"),
        (MIXED, DecentralizedSGD(), {}, "torch.float32 on cpu, torch.float64 on cpu"),
        (COMPLEX, DecentralizedSGD(), {}, "one floating-point type"),
        (
            None,
            DecentralizedSGD,
            {},
            "algorithm = the class DecentralizedSGD is not allowed: .*DecentralizedSGD(lr=0.1",
        ),
        (None, "Nids", {}, "algorithm = 'Nids' is not allowed: it must be an algorithm, such as Nids(lr=0.1"),
        (None, torch.optim.SGD, {}, "algorithm = the class SGD is not allowed: .* algorithms.DecentralizedSGD(lr=0.1"),
        (None, None, {}, "algorithm = None is not allowed"),
        (None, DecentralizedSGD(), {"transport": "shared_memory"}, "no transport 'shared_memory'; there are auto, sh"),
        (None, DecentralizedSGD(), {"transport": None}, "there is no transport None; there are auto, shared-memory"),
        (None, DecentralizedSGD(), {"topology": 4}, "topology = an object of int is not allowed: the name of a fam"),
        (None, DecentralizedSGD(), {"topology": lambda n: n}, "topology = an object of int is not allowed"),
        (torch.zeros(2, requires_grad=True), DecentralizedSGD(), {}, "params = an object of Tensor is not allowed"),
        ({*model().parameters()}, DecentralizedSGD(), {}, "params = an object of set .* the same order on every rank"),
        (model().state_dict(), DecentralizedSGD(), {}, "params = an object of OrderedDict is not allowed"),
        (None, DecentralizedSGD(), {"buffers": {"mean": torch.zeros(2)}}, "buffers must be tensors, .* 'mean' is none"),
        (None, DecentralizedSGD(), {"buffers": 3}, "buffers must be tensors, such as model.buffers.*, and 3 is none"),
        (3, DecentralizedSGD(), {}, "params = an object of int is not allowed"),
        ([3], DecentralizedSGD(), {}, "params are not allowed: optimizer can only optimize Tensors"),
        ([torch.ones(2, requires_grad=True) * 2], DecentralizedSGD(), {}, "can't optimize a non-leaf Tensor"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(
    params: Any, algorithm: Algorithm, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says.replace("(", r"\(")) as raised:
        gossip.Optimizer(model().parameters() if params is None else params, algorithm, **options)
    assert "\n" not in str(raised.value)


def test_no_further_parameters() -> None:
    optimizer = gossip.Optimizer(model().parameters(), DecentralizedSGD())
    with pytest.raises(ValueError, match="takes no further parameters"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})


class Biased(Topology):
    """A single node, whose matrix cannot be biased, that says it is."""

    doubly_stochastic = False  # type: ignore[assignment]


def test_a_biased_mixing_matrix_is_pointed_out_where_it_is_used() -> None:
    with pytest.warns(UserWarning, match="not doubly stochastic") as seen:
        gossip.Optimizer(model().parameters(), DecentralizedSGD(), Biased(nx.empty_graph(1))).close()
    (warning,) = seen
    line = Path(__file__).read_text().splitlines()[warning.lineno - 1]
    assert (warning.filename, line.strip()[:17]) == (__file__, "gossip.Optimizer(")


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate parameters")
def test_a_parameter_that_appears_twice() -> None:
    p = nn.Parameter(torch.zeros(2))
    with pytest.raises(UsageError, match="appears twice in a parameter group"):
        gossip.Optimizer([p, p], DecentralizedSGD())


@pytest.mark.parametrize("loss", [torch.zeros(3), "0.5", [1.0, 2.0]], ids=["vector", "text", "list"])
def test_a_closure_must_return_one_number(loss: Any) -> None:
    optimizer = gossip.Optimizer(model().parameters(), DecentralizedSGD())
    with pytest.raises(ValueError, match="a closure must return the loss, one number, and it returned"):
        optimizer.step(lambda: loss)
