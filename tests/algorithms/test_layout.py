"""Layout: named tensors in one flat vector and back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from algorithms import Layout

LAYOUT = Layout({"weight": (3, 2), "scale": (1,), "bias": (3,), "filters": (2, 1, 2, 2)})


def test_length_and_order() -> None:
    assert LAYOUT.d == 6 + 1 + 3 + 8
    pieces = LAYOUT.unflatten(torch.arange(18.0))
    assert list(pieces) == ["weight", "scale", "bias", "filters"]
    assert pieces["weight"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert pieces["scale"].item() == 6
    assert pieces["bias"].tolist() == [7, 8, 9]
    assert pieces["filters"].flatten().tolist() == list(range(10, 18))


@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3)])
def test_round_trips(leading: tuple[int, ...]) -> None:
    x = torch.randn(*leading, LAYOUT.d, generator=torch.Generator().manual_seed(0))
    tensors = LAYOUT.unflatten(x)
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        name: leading + shape for name, shape in LAYOUT.shapes.items()
    }
    assert torch.equal(LAYOUT.flatten(tensors), x)
    shuffled = dict(reversed(tensors.items()))
    assert torch.equal(LAYOUT.flatten(shuffled), x)


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_unflatten_gives_views(leading: tuple[int, ...]) -> None:
    x = torch.zeros(*leading, LAYOUT.d)
    for tensor in LAYOUT.unflatten(x).values():
        tensor += 1
    assert torch.equal(x, torch.ones_like(x))
    transposed = torch.zeros(LAYOUT.d, 5).T
    for tensor in LAYOUT.unflatten(transposed).values():
        tensor += 1
    assert torch.equal(transposed, torch.ones_like(transposed))


@pytest.mark.parametrize("leading", [(), (4,)])
def test_scalars_are_tensors_too(leading: tuple[int, ...]) -> None:
    layout = Layout({"temperature": (), "bias": (2,)})
    x = torch.rand(*leading, 3)
    tensors = layout.unflatten(x)
    assert tensors["temperature"].shape == leading
    assert torch.equal(tensors["temperature"], x[..., 0])
    assert torch.equal(layout.flatten(tensors), x)


@pytest.mark.parametrize("d", [17, 19])
def test_a_vector_of_another_length_is_refused(d: int) -> None:
    with pytest.raises(ValueError, match=f"18 parameters.* {d}"):
        LAYOUT.unflatten(torch.zeros(2, d))


def test_a_missing_tensor_is_refused() -> None:
    with pytest.raises(KeyError, match="scale"):
        LAYOUT.flatten({"weight": torch.zeros(3, 2)})


def test_a_tensor_of_another_size_is_refused() -> None:
    tensors = LAYOUT.unflatten(torch.zeros(LAYOUT.d))
    with pytest.raises((ValueError, RuntimeError)):
        LAYOUT.flatten(tensors | {"bias": torch.zeros(4)})


def test_layout_of_a_torch_model() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3, bias=False))
    layout = Layout.of(model)
    assert layout.shapes == {"0.weight": (2, 1, 3, 3), "0.bias": (2,), "2.weight": (3, 8)}
    flat = layout.flatten(dict(model.named_parameters()))
    assert torch.equal(flat, nn.utils.parameters_to_vector(model.parameters()))


def test_layout_of_a_plain_vector() -> None:
    layout = Layout.vector(4)
    x = torch.arange(8.0).reshape(2, 4)
    assert layout.d == 4
    (only,) = layout.unflatten(x).values()
    assert torch.equal(only, x)
