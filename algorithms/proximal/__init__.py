"""Regularizers with their proximal operators, one file each."""

from algorithms.proximal.box import Box as Box
from algorithms.proximal.elastic_net import ElasticNet as ElasticNet
from algorithms.proximal.group_lasso import GroupLasso as GroupLasso
from algorithms.proximal.l1 import L1 as L1
from algorithms.proximal.l2_ball import L2Ball as L2Ball
from algorithms.proximal.non_negative import NonNegative as NonNegative
from algorithms.proximal.nuclear_norm import NuclearNorm as NuclearNorm
from algorithms.proximal.proximal import Proximal as Proximal
from algorithms.proximal.proximal import check_prox as check_prox
from algorithms.proximal.proximal import proximal_step as proximal_step
from algorithms.proximal.simplex import Simplex as Simplex
