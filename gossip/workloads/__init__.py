"""Workloads: data, model and loss, sharded over the nodes."""

from gossip.workloads.adversarial_perturbation import AdversarialPerturbation as AdversarialPerturbation
from gossip.workloads.averaging import Averaging as Averaging
from gossip.workloads.images import Digits as Digits
from gossip.workloads.images import Mnist as Mnist
from gossip.workloads.least_squares import LeastSquares as LeastSquares
from gossip.workloads.logistic_regression import LogisticRegression as LogisticRegression
from gossip.workloads.matrix_completion import MatrixCompletion as MatrixCompletion
from gossip.workloads.sigmoid_loss import SigmoidLoss as SigmoidLoss
from gossip.workloads.splits import ByLabel as ByLabel
from gossip.workloads.splits import Dirichlet as Dirichlet
from gossip.workloads.splits import Iid as Iid
from gossip.workloads.splits import Split as Split
from gossip.workloads.supervised import Supervised as Supervised
from gossip.workloads.text import Text as Text
from gossip.workloads.torch_workload import TorchWorkload as TorchWorkload
from gossip.workloads.workload import Workload as Workload
