"""Communication graphs, their mixing matrices and schedules. Needs networkx, numpy and scipy only.

    >>> from topologies import ring, spectral_gap
    >>> ring(16)
    Topology('ring', nodes=16, edges=16, symmetric, doubly stochastic)
    >>> round(spectral_gap(ring(16)), 4)
    0.0507

Any networkx graph does as well: `Topology(networkx.karate_club_graph())`. `topologies.command.drawing.draw` pictures
one.

A family, such as `ring`, is a function of the number of nodes. One more takes a file in `topologies.graphs` or
`topologies.schedules`, whose `__all__` names it, and one line here that imports the file.
"""

import inspect as _inspect
from collections.abc import Callable as _Callable

from topologies.graphs.by_labels import *
from topologies.graphs.cliques import *
from topologies.graphs.expanders import *
from topologies.graphs.exponential import *
from topologies.graphs.files import *
from topologies.graphs.lattices import *
from topologies.graphs.random import *
from topologies.graphs.social import *
from topologies.graphs.trees import *
from topologies.healing import heal as heal
from topologies.links import Links as Links
from topologies.schedule import Schedule as Schedule
from topologies.schedules.alternating import *
from topologies.schedules.base_graph import *
from topologies.schedules.dropout import *
from topologies.schedules.elastic import *
from topologies.schedules.equi import *
from topologies.schedules.matcha import *
from topologies.schedules.one_peer import *
from topologies.schedules.random import *
from topologies.servers import with_hubs as with_hubs
from topologies.servers import with_servers as with_servers
from topologies.spectra.spectrum import contraction_per_round as contraction_per_round
from topologies.spectra.spectrum import laplacian_norm as laplacian_norm
from topologies.spectra.spectrum import smallest_eigenvalue as smallest_eigenvalue
from topologies.spectra.spectrum import spectral_gap as spectral_gap
from topologies.topology import Topology as Topology
from topologies.weights.rules import WEIGHTS as WEIGHTS
from topologies.weights.rules import metropolis as metropolis
from topologies.weights.rules import push as push
from topologies.weights.rules import uniform as uniform


def _is_family(value: object) -> bool:
    return _inspect.isfunction(value) and value.__module__.startswith(("topologies.graphs.", "topologies.schedules."))


FAMILIES: tuple[_Callable[..., Schedule], ...] = tuple(
    value for _, value in sorted(globals().items()) if _is_family(value)
)
"""The functions that the command line offers by name, in alphabetical order."""

__all__ = sorted(name for name, value in globals().items() if not name.startswith("_") and not _inspect.ismodule(value))
