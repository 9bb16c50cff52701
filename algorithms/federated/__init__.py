"""Federated methods, whose clients are the nodes, one file each."""

from algorithms.federated.afl import AFL as AFL
from algorithms.federated.availability import AlwaysAvailable as AlwaysAvailable
from algorithms.federated.availability import Availability as Availability
from algorithms.federated.availability import SineAvailability as SineAvailability
from algorithms.federated.availability import TraceAvailability as TraceAvailability
from algorithms.federated.delivery import Delivery as Delivery
from algorithms.federated.fed_adagrad import FedAdagrad as FedAdagrad
from algorithms.federated.fed_adam import FedAdam as FedAdam
from algorithms.federated.fed_avg import FedAvg as FedAvg
from algorithms.federated.fed_avg_m import FedAvgM as FedAvgM
from algorithms.federated.fed_dyn import FedDyn as FedDyn
from algorithms.federated.fed_mom import FedMom as FedMom
from algorithms.federated.fed_nova import FedNova as FedNova
from algorithms.federated.fed_paq import FedPAQ as FedPAQ
from algorithms.federated.fed_prox import FedProx as FedProx
from algorithms.federated.fed_yogi import FedYogi as FedYogi
from algorithms.federated.federated import Federated as Federated
from algorithms.federated.mime import Mime as Mime
from algorithms.federated.q_fed_avg import QFedAvg as QFedAvg
from algorithms.federated.scaffold import Scaffold as Scaffold
from algorithms.federated.secure_fed_avg import SecureFedAvg as SecureFedAvg
