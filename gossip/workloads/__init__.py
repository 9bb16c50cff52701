"""Workloads: data, model and loss, sharded over the nodes."""

from gossip.workloads.adversarial_perturbation import AdversarialPerturbation as AdversarialPerturbation
from gossip.workloads.averaging import Averaging as Averaging
from gossip.workloads.flipped_labels import FlippedLabels as FlippedLabels
from gossip.workloads.linear.hinge_loss import HingeLoss as HingeLoss
from gossip.workloads.linear.least_squares import LeastSquares as LeastSquares
from gossip.workloads.linear.logistic_regression import LogisticRegression as LogisticRegression
from gossip.workloads.linear.sigmoid_loss import SigmoidLoss as SigmoidLoss
from gossip.workloads.linear.synthetic import SyntheticLogisticRegression as SyntheticLogisticRegression
from gossip.workloads.matrix_completion import MatrixCompletion as MatrixCompletion
from gossip.workloads.neural.images import Digits as Digits
from gossip.workloads.neural.images import Mnist as Mnist
from gossip.workloads.neural.supervised import Supervised as Supervised
from gossip.workloads.neural.text import Text as Text
from gossip.workloads.neural.torch_workload import TorchWorkload as TorchWorkload
from gossip.workloads.shifted_features import ShiftedFeatures as ShiftedFeatures
from gossip.workloads.splits import ByGroup as ByGroup
from gossip.workloads.splits import ByLabel as ByLabel
from gossip.workloads.splits import Dirichlet as Dirichlet
from gossip.workloads.splits import DirichletSizes as DirichletSizes
from gossip.workloads.splits import FromFile as FromFile
from gossip.workloads.splits import Iid as Iid
from gossip.workloads.splits import LabelsEach as LabelsEach
from gossip.workloads.splits import LabelShards as LabelShards
from gossip.workloads.splits import Split as Split
from gossip.workloads.splits import WithReplacement as WithReplacement
from gossip.workloads.workload import Workload as Workload
