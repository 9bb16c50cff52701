"""Models and data as users have them, by import path: what a pass changes of a model, and what is wrong with it."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.data import Dataset


class Table(Dataset):
    """m rows of 8 numbers, 3 classes numbered from `first`."""

    def __init__(self, m: int = 60, first: int = 0, broken: int = -1) -> None:
        draw = torch.Generator().manual_seed(m)
        self.x = torch.randn(m, 8, generator=draw)
        self.y = (self.x[:, 0] > 0).long() + (self.x[:, 1] > 0).long() + first
        self.broken = broken

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        if i == self.broken:
            raise KeyError("no such row")
        return self.x[i], self.y[i]


class Plain(nn.Module):
    """Nothing but parameters."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.hidden = nn.Linear(8, width)
        self.head = nn.Linear(width, 3)

    def features(self, x: Tensor) -> Tensor:
        return torch.relu(self.hidden(x))

    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x))


# Of these each node has more than parameters.


class Spectral(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = parametrizations.spectral_norm(self.hidden)


class OldSpectral(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.utils.spectral_norm(self.hidden)


class Instance(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm1d(2, track_running_stats=True)

    def features(self, x: Tensor) -> Tensor:
        return self.norm(super().features(x).view(-1, 2, 3)).flatten(1)


class Ema(Plain):
    """A buffer that a pass replaces, and one of integers that it counts up."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ema", torch.zeros(6))
        self.register_buffer("count", torch.tensor(0))

    def features(self, x: Tensor) -> Tensor:
        features = super().features(x)
        if self.training:
            self.ema = 0.9 * self.ema + 0.1 * features.mean(0)
            self.count += 1
        return features - self.ema.detach()


class MovingEncoder(Plain):
    """A frozen layer that follows the other one, as in momentum contrast."""

    def __init__(self) -> None:
        super().__init__()
        self.key = nn.Linear(8, 6).requires_grad_(False)

    def features(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.key.weight.mul_(0.9).add_(0.1 * self.hidden.weight)
        return super().features(x) + self.key(x)


class Dropping(Plain):
    def features(self, x: Tensor) -> Tensor:
        return F.dropout(super().features(x), 0.3, self.training)


class Locked(Spectral):
    """It cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


CHANGING = ("Spectral", "OldSpectral", "Instance", "Ema", "MovingEncoder", "Dropping", "Locked")


# And of these it has nothing else.


class Frozen(Plain):
    """Linear probing."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden.requires_grad_(False)
        self.register_buffer("mean", torch.full((8,), 0.5))
        self.register_buffer("unsaved", torch.ones(8), persistent=False)

    def features(self, x: Tensor) -> Tensor:
        return super().features((x - self.mean) * self.unsaved)


class Tied(Plain):
    """Two maps share one matrix."""

    def __init__(self) -> None:
        super().__init__(8)
        self.second = nn.Linear(8, 8)
        self.second.weight = self.hidden.weight

    def features(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(super().features(x)))


class WeightNorm(Plain):
    """It keeps a tensor that was computed from parameters, which `copy.deepcopy` refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.utils.weight_norm(self.hidden)


class BatchNorm(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def features(self, x: Tensor) -> Tensor:
        return self.norm(super().features(x))


SIZES: list[int] = []  # of the batches that watched models have seen


class Watched(Plain):
    def forward(self, x: Tensor) -> Any:
        SIZES.append(len(x))
        return super().forward(x)


class WatchedBatchNorm(BatchNorm):
    def forward(self, x: Tensor) -> Any:
        SIZES.append(len(x))
        return super().forward(x)


class Lazy(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(3))


class Half(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.half()


PARAMETERS_ONLY = ("Frozen", "Tied", "WeightNorm", "BatchNorm", "Lazy", "Half")


# These are refused.


class Counting(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return super().forward(x) / self.calls


class SeenInTheEvaluation(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(8)

    def forward(self, x: Tensor) -> Any:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
            return super().forward(x)
        return super().forward(x - self.mean)


class Growing(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Any:
        self.seen = torch.cat([self.seen, torch.ones(1)])
        return super().forward(x)


class Late(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", None)

    def forward(self, x: Tensor) -> Any:
        self.mean = x.mean(0)
        return super().forward(x)


class Computed(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.twice = self.hidden.weight * 2

    def features(self, x: Tensor) -> Tensor:
        return F.linear(x, self.twice)


class MaxNorm(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 8, max_norm=0.1)

    def features(self, x: Tensor) -> Tensor:
        return super().features(x + self.embedding((x[:, 0] > 0).long()))


class AllFrozen(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


class Pair(Plain):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x


class Detached(Plain):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).detach()


class Narrow(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(7, 6)


class Unready(Plain):
    def __init__(self) -> None:
        raise RuntimeError("no weights found")


class NoModule:
    pass


def one_by_one(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss of each example."""
    return F.cross_entropy(outputs, targets, reduction="none")


def hinge(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss of a user's own."""
    return (1 - outputs.gather(1, targets[:, None])).relu().mean()
