"""Asynchronous methods, each of which is a program that every node runs at its own pace."""

from algorithms.asynchronous.acpd import Acpd as Acpd
from algorithms.asynchronous.ad_psgd import AdPsgd as AdPsgd
from algorithms.asynchronous.asynchronous import Asynchronous as Asynchronous
from algorithms.asynchronous.asynchronous import NodesState as NodesState
from algorithms.asynchronous.push_sum import AsynchronousPushSum as AsynchronousPushSum
