"""Drawings: right elements, no pyplot, every family."""

import io
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import topologies
from tests.topologies.sizes import SIZES
from topologies import FAMILIES, Topology, complete, exponential, ring, star, torus
from topologies.command.drawing import HEAVY_EDGES, draw

pytest.importorskip("matplotlib")

CASES = [
    *(family(SIZES[family.__name__][-1]) for family in FAMILIES if family.__name__ in SIZES),
    *(ring(n) for n in (1, 2, 3)),
    star(1),
    torus(1),
    torus(2),
    ring(400),
]


@pytest.mark.parametrize("topology", CASES, ids=repr)
def test_every_family_is_drawn(topology: topologies.Schedule) -> None:
    figure = draw(topology)
    (axes,) = figure.axes
    nodes = axes.collections[-1]
    positions = np.asarray(nodes.get_offsets())
    assert positions.shape == (topology.n, 2) and np.abs(positions).max() <= 1 + 1e-9
    assert len(np.unique(positions.round(6), axis=0)) == topology.n
    assert [text.get_text() for text in axes.texts] == ([str(i) for i in range(topology.n)] if topology.n <= 32 else [])
    svg = io.StringIO()
    figure.savefig(svg, format="svg")
    assert "<svg" in svg.getvalue()


def segments(topology: Topology) -> np.ndarray:
    return np.array(draw(topology).axes[0].collections[0].get_segments())


def test_edges_run_between_their_nodes() -> None:
    graph = nx.karate_club_graph()
    places = np.asarray(draw(Topology(graph)).axes[0].collections[-1].get_offsets())
    drawn = {frozenset(map(tuple, segment.round(9))) for segment in segments(Topology(graph))}
    assert drawn == {frozenset({tuple(places[i].round(9)), tuple(places[j].round(9))}) for i, j in graph.edges}


def test_arrows_point_from_sender_to_receiver() -> None:
    axes = draw(exponential(5)).axes[0]
    arrows, places = axes.collections[0], np.asarray(axes.collections[-1].get_offsets())
    edges = list(exponential(5).graph.edges)
    assert len(arrows.U) == len(edges) == 15
    for tail, u, v, (sender, receiver) in zip(arrows.XY, arrows.U, arrows.V, edges, strict=True):
        np.testing.assert_allclose(tail, places[sender])
        head = tail + np.array([u, v])
        assert np.linalg.norm(head - places[receiver]) < 0.2 < np.linalg.norm(head - places[sender])


def test_star_has_its_hub_in_the_centre() -> None:
    places = np.asarray(draw(star(6)).axes[0].collections[-1].get_offsets())
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), [0, 1, 1, 1, 1, 1])


def test_torus_is_a_grid_with_stubs_at_its_borders() -> None:
    lengths = np.linalg.norm(np.diff(segments(torus(12)), axis=1)[:, 0], axis=1)
    inside = 3 * 3 + 2 * 4  # edges of the 3 x 4 grid without its border crossings
    assert len(lengths) == inside + 2 * (3 + 4)
    unit = 2 / 3
    np.testing.assert_allclose(lengths[:inside], unit)
    assert (lengths[inside:] < unit / 2 + 1e-9).all()


def test_many_edges_become_pixels() -> None:
    assert complete(70).graph.number_of_edges() > HEAVY_EDGES
    assert draw(complete(70)).axes[0].collections[0].get_rasterized()
    assert not draw(complete(20)).axes[0].collections[0].get_rasterized()


def test_draws_on_given_axes() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert draw(ring(5), right) is figure
    assert not left.collections and len(right.collections) == 2


def test_layout_is_reproducible() -> None:
    graph = Topology(nx.karate_club_graph())
    np.testing.assert_array_equal(segments(graph), segments(graph))


def test_pyplot_is_never_imported() -> None:
    code = (
        "import sys; from topologies import ring, random_regular; from topologies.command.drawing import draw;"
        "assert 'matplotlib' not in sys.modules;"
        "draw(ring(4)); draw(random_regular(8)); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(topologies.__file__).parents[1])
