"""One statement that was checked, and when two values count as the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from privrad.verify.read import RELATIVE


@dataclass(frozen=True, kw_only=True)
class Check:
    """One statement of a file, as it is said there and as it is found; both can stand in JSON.

    `remark` says what else than a changed file can be behind one that does not hold. `count` is how many statements it
    speaks for: rows of a table that all hold are one check.
    """

    what: str
    file: str
    said: Any
    found: Any
    holds: bool
    remark: str = ""
    count: int = 1


def alike(said: Any, found: Any) -> bool:
    """Whether two values are equal: numbers that were computed to 1e-6 relative, the rest exactly."""
    if isinstance(said, float) and isinstance(found, float):
        return math.isclose(said, found, rel_tol=RELATIVE)
    if isinstance(said, Mapping) and isinstance(found, Mapping):
        return said.keys() == found.keys() and all(alike(said[key], found[key]) for key in said)
    if isinstance(said, list) and isinstance(found, list):
        return len(said) == len(found) and all(map(alike, said, found))
    return bool(said == found) and isinstance(said, bool) == isinstance(found, bool)
