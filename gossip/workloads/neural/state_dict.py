"""Where the entries of a plain model's state_dict are found after a training."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from algorithms import Layout

Entry = tuple[str, Tensor]


@dataclass(frozen=True)
class StateDict:
    """What `load_state_dict` of the plain model wants, buffers and the second names of shared tensors included.

    Attributes:
        sources: Name -> ("parameter", its name in the layout), ("own", the name of what each node has of its own) or
            ("fixed", the name of what has not been trained).
        fixed: The last ones, as the model came with them.
    """

    sources: Mapping[str, tuple[str, str]]
    fixed: Mapping[str, Tensor]

    @classmethod
    def of(cls, plain: Mapping[str, Entry], layout: Layout, own: Collection[str]) -> StateDict:
        """Of a model.

        Args:
            plain: Its `entries`.
            layout: Of the parameters that are trained.
            own: The names of what each node has of its own.
        """
        sources: dict[str, tuple[str, str]] = {}
        fixed: dict[str, Tensor] = {}
        for key, (name, tensor) in plain.items():
            kind = "parameter" if name in layout.shapes else "own" if name in own else "fixed"
            sources[key] = kind, name
            if kind == "fixed":
                fixed[name] = tensor.detach()
        return cls(sources, fixed)


def entries(model: nn.Module) -> dict[str, Entry]:
    """What there is in the state_dict of a model, each with the first name that the model has for it."""
    named: list[tuple[str, Tensor]] = [*model.named_parameters(), *model.named_buffers()]
    first = {id(tensor): name for name, tensor in named}
    plain = model.state_dict(keep_vars=True)
    return {key: (first.get(id(each), key), each) for key, each in plain.items() if isinstance(each, Tensor)}
