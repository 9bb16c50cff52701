"""The compression operators that are measured: all that `algorithms` exports, with parameters one would use."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import algorithms
from algorithms import QSGD, Compressor, Float, NaturalDithering, TopK
from topologies.command.own import resolved

OPERATORS = "the operators to {}, by default all: names, or import paths of your own such as mine.MyCompressor"
DITHERING = NaturalDithering(norm="max", bucket=512)
FRACTIONS = (0.001, 0.01, 0.05, 0.2, 0.5)
TOP = tuple(TopK(fraction=fraction) for fraction in FRACTIONS)

VALUES: Mapping[str, Any] = {  # of fields, in one class or in all
    "Contraction.compressor": QSGD(norm="max", bucket=512),
    "bits": 2,
    "compressor": TopK(fraction=0.01),
    "contraction": TopK(fraction=0.01),
    "fraction": 0.01,
    "levels": 7,
    "nodes": 16,
    "quantizer": DITHERING,
    "rank": 2,
    "sparsifier": TopK(fraction=0.01),
    "threshold": 2.6,  # which one of a hundred Gaussian entries is beyond
    "Induced.unbiased": QSGD(norm="max", bucket=512),
}
CURVES: Mapping[str, tuple[Any, ...]] = {  # values of a field, of which a class's first one makes a curve
    "Bernoulli.p": (0.1, 0.3, 0.5, 0.9),
    "Contraction.compressor": tuple(QSGD(levels=s, norm="max", bucket=512) for s in (1, 2, 3, 7, 15)),
    "ExponentialDithering.levels": (1, 2, 3, 7),
    "Float.format": get_args(get_type_hints(Float)["format"]),
    "GeneralRounding.base": (16.0, 4.0, 2.0, 1.2),
    "NaturalDithering.levels": (1, 2, 3, 7),
    "ORQ.levels": (3, 5, 9, 17),
    "Polyline.precision": (0, 1, 2, 3, 4),
    "RandomBlock.ratio": (64.0, 16.0, 4.0, 2.0),
    "SparseDithering.nu": (0.5, 0.2, 0.1, 0.03, 0.01),
    "Spherical.error": (0.8, 0.65, 0.5),
    "bits": (2, 3, 4, 6, 8),
    "compressor": TOP,
    "contraction": TOP,
    "fraction": FRACTIONS,
    "levels": (1, 3, 7, 31, 127),
    "nodes": (64, 16, 4),
    "rank": (1, 2, 4, 8),
    "sparsifier": TOP,
    "threshold": (4.0, 3.0, 2.0, 1.0, 0.5),
}
ALONG_CURVES: Mapping[str, Any] = {  # of other fields, where the defaults are not what one would use for long vectors
    "Atomo.atoms": "singular",
    "ExponentialDithering.bucket": 512,
    "NaturalDithering.bucket": 512,
    "QSGD.bucket": 512,
    "QSGD.norm": "max",
    "TernGrad.bucket": 512,
}


def exported() -> dict[str, type[Compressor]]:
    """name -> the operators that `algorithms` exports; those without an `encode` are what others derive from."""
    return {
        name: kind
        for name, kind in vars(algorithms).items()
        if isinstance(kind, type) and issubclass(kind, Compressor) and kind.encode is not Compressor.encode
    }


def named(operator: str) -> type[Compressor]:
    """The class that `algorithms` exports under this name, or one of the user's by its import path.

    Raises:
        ValueError: It is none.
    """
    known = exported()
    if operator in known:
        return known[operator]
    if "." not in operator:
        near = difflib.get_close_matches(operator, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(
            f"--operator does not know {operator!r}; {hint}it may be {', '.join(sorted(known))}, or an import path "
            f"such as mine.MyCompressor"
        )
    kind = resolved(operator)
    if not (isinstance(kind, type) and issubclass(kind, Compressor)):
        raise ValueError(f"--operator {operator} is no class that derives from algorithms.Compressor")
    return kind


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
    (name, values), *_ = [*_of(kind, CURVES).items(), ("", ())]
    points = [build(kind, **fixed, **{name: value}) for value in values] or [build(kind, **fixed)]
    return [each for each in points if each is not None]


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
