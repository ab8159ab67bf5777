"""What is a finite number in a file of JSON, whose whole numbers may be larger than any float."""

from __future__ import annotations

import sys
from typing import Any


def is_finite_number(value: Any) -> bool:
    """Whether ``value`` is a number that a float64 can hold, and not a boolean."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max
