"""Decentralized methods with compressed communication, one file each."""

from algorithms.compressed.beer import Beer as Beer
from algorithms.compressed.cedas import Cedas as Cedas
from algorithms.compressed.choco import ChocoSGD as ChocoSGD
from algorithms.compressed.choco_gossip import ChocoGossip as ChocoGossip
from algorithms.compressed.dcd_psgd import DcdPSGD as DcdPSGD
from algorithms.compressed.deep_squeeze import DeepSqueeze as DeepSqueeze
from algorithms.compressed.ecd_psgd import EcdPSGD as EcdPSGD
from algorithms.compressed.lead import Lead as Lead
from algorithms.compressed.prox_lead import ProxLead as ProxLead
from algorithms.compressed.sparq import SparqSGD as SparqSGD
from algorithms.compressed.squarm import SquarmSGD as SquarmSGD
