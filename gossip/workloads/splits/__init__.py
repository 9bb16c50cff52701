"""How the training examples are divided over the nodes."""

from gossip.workloads.splits.by_label import ByLabel as ByLabel
from gossip.workloads.splits.by_label import Dirichlet as Dirichlet
from gossip.workloads.splits.by_label import LabelsEach as LabelsEach
from gossip.workloads.splits.by_label import LabelShards as LabelShards
from gossip.workloads.splits.by_size import DirichletSizes as DirichletSizes
from gossip.workloads.splits.by_size import Iid as Iid
from gossip.workloads.splits.by_size import WithReplacement as WithReplacement
from gossip.workloads.splits.given import ByGroup as ByGroup
from gossip.workloads.splits.given import FromFile as FromFile
from gossip.workloads.splits.split import Split as Split
from gossip.workloads.splits.split import held_out as held_out
from gossip.workloads.splits.split import shards_of as shards_of
