"""Numbers as other programs read them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(values: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON in which numbers that are not finite are null, since JSON has none."""
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
    return json.dumps(finite, indent=indent)
