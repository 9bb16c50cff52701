"""Who talks to whom in round after round: `Schedule`, one topology per round.

networkx and scipy are imported inside the functions that need them: a Schedule is unpickled on every MPI rank, and
a rank that only mixes needs the arrays of the matrices alone.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from topologies.matrices import check_connected, graph_of

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array

    from topologies.topology import Topology


class Schedule:
    """A time-varying topology: a periodic sequence of rounds, each with its own mixing matrix.

    A round alone may be disconnected (build it with `Topology(..., connected=False)`); information still
    reaches every node when the union of the rounds is strongly connected, which is what is checked.

    Args:
        rounds: the `Topology` of each round of one period, at least one, all with the same number of nodes.
        name: what reports call the schedule, "custom" by default.

    Attributes:
        n: number of nodes.
        name: what reports call it.
        symmetric: whether every round's mixing matrix is symmetric.
        row_stochastic: whether the rows sum to 1 in every round, as averaging needs.
        column_stochastic: whether the columns sum to 1 in every round, as push-sum needs.
        static: False; True for a `Topology`, where every round is the same.

    Raises:
        ValueError: no round, rounds of different sizes, rounds of which some have only rows and others only
            columns that sum to 1, or a union graph that is not strongly connected.
    """

    static: ClassVar[bool] = False

    n: int
    name: str
    symmetric: bool
    row_stochastic: bool
    column_stochastic: bool
    _graph: nx.Graph | None = None  # cache of `graph`, never pickled

    def __init__(self, rounds: Sequence[Topology], name: str = "custom") -> None:
        self._rounds = tuple(rounds)
        if not self._rounds or not all(isinstance(each, Schedule) and each.static for each in self._rounds):
            raise ValueError(f"a Schedule needs at least one round, each a Topology; got {_kinds(self._rounds)}")
        sizes = sorted({each.n for each in self._rounds})
        if len(sizes) > 1:
            raise ValueError(f"all rounds of a Schedule need the same number of nodes, got {sizes}")
        self.n = sizes[0]
        self.name = name
        self.symmetric = all(each.symmetric for each in self._rounds)
        self.row_stochastic = all(each.row_stochastic for each in self._rounds)
        self.column_stochastic = all(each.column_stochastic for each in self._rounds)
        if not self.row_stochastic and not self.column_stochastic:
            raise ValueError(
                "the rounds of a Schedule must all have rows that sum to 1, or all columns that do; of these some are "
                "row stochastic only and others column stochastic only"
            )
        check_connected(self.support(), "the union of the rounds", "add rounds that link the components")

    def __getitem__(self, t: int) -> Topology:
        """The topology of round t = 0, 1, 2, ..., which repeats with period `len(self)`.

        Raises:
            IndexError: t is negative.
        """
        return self._rounds[valid_round(t) % len(self._rounds)]

    @property
    def period(self) -> int | None:
        """The number of rounds after which the sequence repeats; None if it never does."""
        return len(self._rounds)

    @property
    def doubly_stochastic(self) -> bool:
        """Whether the rows and the columns sum to 1 in every round."""
        return self.row_stochastic and self.column_stochastic

    @property
    def stochasticity(self) -> str:
        """What sums to 1, in words."""
        if self.doubly_stochastic:
            return "doubly stochastic"
        return "row stochastic" if self.row_stochastic else "column stochastic"

    @property
    def tree(self) -> bool:
        """Whether the graph is the same in all rounds, undirected, connected, and without cycles."""
        return False

    def __bool__(self) -> bool:
        """True, also without a period that Python could ask for."""
        return True

    def __len__(self) -> int:
        """The period.

        Raises:
            TypeError: the schedule has none.
        """
        if self.period is None:
            raise TypeError(f"{self.name} never repeats, so it has no length and no last round: take round t by [t]")
        return self.period

    def __iter__(self) -> Iterator[Topology]:
        """The rounds of one period (Python's default iteration over `__getitem__` would never end).

        Raises:
            TypeError: the schedule has none.
        """
        return (self[t] for t in range(len(self)))

    @property
    def graph(self) -> nx.Graph:
        """The (union) communication graph without self-loops: a frozen networkx graph on nodes 0..n-1.

        Its edges are the non-zero weights: a `networkx.Graph` where each runs both ways, else a `DiGraph` in
        which an edge (j, i) means that j sends to i.
        """
        if self._graph is None:
            self._graph = graph_of(self.support())
        return self._graph

    def support(self) -> csr_array:
        """(n, n) matrix, non-zero where some round has a weight."""
        return sum((abs(each.matrix) for each in self._rounds[1:]), start=abs(self._rounds[0].matrix))

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_graph", "matrix")}

    def __repr__(self) -> str:
        return f"Schedule({self.name!r}, nodes={self.n}, period={self.period}, {kind_of(self)})"


def valid_round(t: int) -> int:
    """`t` if it can be the number of a round, else an IndexError."""
    t = operator.index(t)
    if t < 0:
        raise IndexError(f"rounds are numbered 0, 1, 2, ...; got {t}")
    return t


def kind_of(schedule: Schedule) -> str:
    """Whether W is symmetric and what of it sums to 1, in words."""
    return f"symmetric, {schedule.stochasticity}" if schedule.symmetric else schedule.stochasticity


def _kinds(values: Sequence[object]) -> str:
    return ", ".join(sorted({type(value).__name__ for value in values})) or "none"
