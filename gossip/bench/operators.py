"""The compression operators that are measured: all that `algorithms` exports, with parameters one would use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import algorithms
from algorithms import QSGD, Compressor, RandomK, TopK

QUANTIZER = QSGD(levels=7, norm="max", bucket=512)
TOP = TopK(fraction=0.01)

VALUES: Mapping[str, Any] = {  # of fields, in all classes or in one
    "bits": 2,
    "budget": 2,
    "compressor": QUANTIZER,
    "fraction": 0.01,
    "levels": 7,
    "rank": 2,
}
CURVES: Mapping[str, tuple[Any, ...]] = {  # values of fields that make a curve, in all classes or in one
    "Contraction.compressor": tuple(RandomK(fraction=f, unbiased=True) for f in (0.01, 0.1, 0.5)),
    "bits": (2, 3, 4, 6, 8),
    "fraction": (0.001, 0.01, 0.05, 0.2, 0.5),
    "levels": (1, 3, 7, 31, 127),
    "rank": (1, 2, 4, 8),
}
ALONG_CURVES: Mapping[str, Any] = {"QSGD.bucket": 512, "QSGD.norm": "max"}


def exported() -> dict[str, type[Compressor]]:
    """name -> the operators that `algorithms` exports."""
    return {
        name: kind
        for name, kind in vars(algorithms).items()
        if isinstance(kind, type) and issubclass(kind, Compressor) and kind is not Compressor
    }


def build(kind: type[Compressor], **values: Any) -> Compressor | None:
    """An operator with these values of its fields, and those above or its defaults for the others.

    None if it cannot be had that way.
    """
    for others in (_of(kind, VALUES), {}):
        try:
            return kind(**{**others, **values})
        except (TypeError, ValueError):
            continue
    return None


def curve(kind: type[Compressor]) -> list[Compressor]:
    """Operators of a class from few bits to many, or just one if there is nothing to choose."""
    fixed = _of(kind, ALONG_CURVES)
    points = [build(kind, **fixed, **{name: value}) for name, values in _of(kind, CURVES).items() for value in values]
    return [each for each in points or [build(kind, **fixed)] if each is not None]


def parameters(compressor: Compressor) -> str:
    """The fields that are not at their defaults, as they would be given."""
    given = []
    for each in fields(compressor):
        value = getattr(compressor, each.name)
        if value != each.default:
            nested = isinstance(value, Compressor)
            given.append(f"{each.name}={label(value) if nested else repr(value)}")
    return ", ".join(given)


def label(compressor: Compressor) -> str:
    """The name of an operator, with its parameters where they are not the defaults."""
    given = parameters(compressor)
    return type(compressor).__name__ + (f"({given})" if given else "")


def _of(kind: type[Compressor], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that concern the fields of a class: its own ones before those for all classes."""
    names = [each.name for each in fields(kind)]
    known = {name: values.get(f"{kind.__name__}.{name}", values.get(name)) for name in names}
    return {name: value for name, value in known.items() if value is not None}
