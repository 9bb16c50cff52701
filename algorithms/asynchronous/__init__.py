"""Asynchronous methods, each of which is a program that every node runs at its own pace."""

from algorithms.asynchronous.a2cid2 import A2CiD2 as A2CiD2
from algorithms.asynchronous.acpd import Acpd as Acpd
from algorithms.asynchronous.ad_psgd import AdPsgd as AdPsgd
from algorithms.asynchronous.async_diloco import AsynchronousDiLoCo as AsynchronousDiLoCo
from algorithms.asynchronous.async_zeno_ps import AsynchronousZenoPS as AsynchronousZenoPS
from algorithms.asynchronous.asynchronous import Asynchronous as Asynchronous
from algorithms.asynchronous.asynchronous import NodesState as NodesState
from algorithms.asynchronous.asynchronous import SavedNodes as SavedNodes
from algorithms.asynchronous.downpour import Downpour as Downpour
from algorithms.asynchronous.elastic_averaging import AsynchronousElasticAveraging as AsynchronousElasticAveraging
from algorithms.asynchronous.fed_async import FedAsync as FedAsync
from algorithms.asynchronous.fed_at import FedAT as FedAT
from algorithms.asynchronous.fed_buff import FedBuff as FedBuff
from algorithms.asynchronous.leader_sgd import AsynchronousLeaderSGD as AsynchronousLeaderSGD
from algorithms.asynchronous.overlap_push_sum import OverlapPushSum as OverlapPushSum
from algorithms.asynchronous.push_sum import AsynchronousPushSum as AsynchronousPushSum
from algorithms.asynchronous.swarm_sgd import SwarmSGD as SwarmSGD
from algorithms.asynchronous.ti_fl import TiFL as TiFL
from algorithms.asynchronous.zeno_plus_plus import ZenoPlusPlus as ZenoPlusPlus
