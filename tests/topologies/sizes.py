"""Small numbers of nodes at which each family exists with its default options: 1, 2, 3 and primes where they do."""

from __future__ import annotations

ANY = [1, 2, 3, 4, 5, 7, 12, 13, 16]
LARGER = [5, 6, 7, 12, 13, 16]
SIZES = {
    **dict.fromkeys(
        "ring one_way_ring path complete star exponential symmetric_exponential circulant binary_tree "
        "double_binary_tree two_cliques wheel complete_multipartite hierarchical erdos_renyi random_geometric "
        "d_equi_static u_equi_static equi_topo one_peer_exponential od_equi_dyn ou_equi_dyn random_matching "
        "random_regular_rounds randomized_gossip alternating_hierarchical round_robin edge_dropout node_dropout "
        "gilbert_elliott base_graph simple_base_graph d_cliques".split(),
        ANY,
    ),
    **dict.fromkeys("random_regular ramanujan watts_strogatz".split(), LARGER),
    "elastic_averaging": ANY[1:],
    "elastic_averaging_tree": ANY[2:],
    "stochastic_block": ANY[1:],
    "barabasi_albert": ANY[2:],
    "random_out": ANY[2:],
    "barbell": [4, 5, 7, 12, 13, 16],
    "torus": [1, 2, 3, 4, 6, 12, 16],
    "grid": [1, 2, 3, 4, 6, 12, 16],
    "hypercube": [1, 2, 4, 8, 16],
    "one_peer_hypercube": [1, 2, 4, 8, 16],
    "generalized_hypercube": [1, 3, 9, 27],
    "balanced_tree": [1, 3, 7, 15],
    "ladder": [2, 4, 6, 12, 16],
    "margulis_gabber_galil": [1, 4, 9, 16],
    "chordal_cycle": [2, 3, 5, 7, 13],
    "paley": [3, 5, 7, 13],
    "matcha": LARGER,
    "stl_fw": [3, 4, 5, 7, 12, 13],
    "networkx_graph": [10],
    "karate_club": [34],
    "davis_women": [18],
    "florentine_families": [15],
    "les_miserables": [77],
}
