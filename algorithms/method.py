"""What any method has that a run trains with, whatever moves it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor

from algorithms.layout import Layout, parts_for_layout


@dataclass(frozen=True)
class Method:
    """A method that a run trains with: an `Algorithm`, whose nodes step together, or an `Asynchronous` one."""

    needs: ClassVar[tuple[str, ...]] = ("row_stochastic",)
    """Properties that the topology must have: "row_stochastic", "column_stochastic", "doubly_stochastic", "symmetric"
    (which is doubly stochastic too), "static", "tree" (for methods that do not use W). "row_stochastic" goes without
    saying unless one of the others but "static" is there. Empty where W is not used: any topology of so many nodes
    will do."""

    least_eigenvalue: ClassVar[float] = -1.0
    """The eigenvalues of W, symmetric, must be above this: -1 asks for nothing."""

    compresses: ClassVar[bool] = False
    """Whether it sends compressed messages though no field of it is a compressor."""

    masks: ClassVar[bool] = False
    """Whether what its nodes send is masked or encrypted, so that it must arrive as it was sent."""

    @property
    def auxiliary(self) -> int:
        """How many nodes, the last ones, have no data: their gradients and losses are 0."""
        return 0

    @property
    def servers(self) -> int:
        """How many servers it has: further nodes, after those of the topology, without data and without links in it.

        Who drives the method adds them to the network (`topologies.with_servers`). They talk to the other nodes by
        exchanges `over` edges of their own, see `algorithms.blocks.server`.
        """
        return 0

    @property
    def without_data(self) -> int:
        """How many nodes of its network, the last ones, have no data: auxiliary ones and servers."""
        return self.auxiliary + self.servers

    @property
    def trusted(self) -> int:
        """How many of the nodes with data, the last ones, must be honest: those that judge the others."""
        return 0

    @property
    def takes_norms(self) -> bool:
        """Whether samples must have `norms`."""
        return False

    @property
    def takes_losses(self) -> bool:
        """Whether samples must have `losses`."""
        return False

    @property
    def acts_on_losses(self) -> bool:
        """Whether what it does depends on losses, not on gradients alone."""
        return self.takes_losses or getattr(getattr(self, "period", None), "acts_on_losses", False)

    def check_oracle(self, oracle: Any) -> None:
        """Refuse an oracle whose samples have something else in the place of gradients than this takes.

        Raises:
            ValueError: They have.
        """
        if oracle.gives != "gradients":
            raise ValueError(
                f"{type(self).__name__} takes gradients, and {type(oracle).__name__} gives {oracle.gives}, which are "
                f"for Acpd; Minibatch and Full give gradients"
            )

    def replicated(self) -> Self:
        """This method where there can be no server: all nodes keep and do alike what the server would."""
        return self

    def for_layout(self, layout: Layout) -> Self:
        """This algorithm for a model of these tensors, which compressors and regularizers may treat one by one.

        To be called before `start`, by whoever drives it.
        """
        return parts_for_layout(self, layout)

    def for_examples(self, examples: Sequence[int]) -> Self:
        """This algorithm for nodes that have so many training examples each, (n,).

        To be called before `start`, by whoever drives it and knows them.
        """
        return self

    def model(self, state: Any) -> Tensor:
        """(k, d): the parameters that the method outputs, which are evaluated and returned.

        Those of a server are not looked at.
        """
        out: Tensor = state.x
        return out

    def chosen(self, state: Any) -> dict[str, Any]:
        """Hyper-parameters as `start` has settled them, by name, for a run's summary; the same on every rank."""
        return {}

    def report(self, state: Any) -> dict[str, Tensor]:
        """Numbers (k,) of the local nodes, by name, whose means over all nodes a run records."""
        return {}
