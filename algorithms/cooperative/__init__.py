"""Local updates with averages from time to time: Cooperative SGD and its family, one file each."""

from algorithms.cooperative.cocod_sgd import CocodSGD as CocodSGD
from algorithms.cooperative.cooperative_sgd import CooperativeSGD as CooperativeSGD
from algorithms.cooperative.cooperative_sgd import decentralized_periodic_averaging as decentralized_periodic_averaging
from algorithms.cooperative.cooperative_sgd import decentralized_sgd as decentralized_sgd
from algorithms.cooperative.cooperative_sgd import elastic_averaging_sgd as elastic_averaging_sgd
from algorithms.cooperative.elastic_averaging import ElasticAveraging as ElasticAveraging
from algorithms.cooperative.leader_sgd import LeaderSGD as LeaderSGD
from algorithms.cooperative.local_sgd import LocalSGD as LocalSGD
from algorithms.cooperative.local_sgd import adacomm_sgd as adacomm_sgd
from algorithms.cooperative.local_sgd import fully_synchronous_sgd as fully_synchronous_sgd
from algorithms.cooperative.local_sgd import periodic_averaging_sgd as periodic_averaging_sgd
from algorithms.cooperative.overlap_local_sgd import OverlapLocalSGD as OverlapLocalSGD
