"""How findings, groups, arms and numbers are said in the report: one place, so that every table and figure agrees."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEGEND = {
    "private": "private, with interval",
    "eps-0": "0: not fine-tuned",
    "eps-inf": "∞: no privacy",
    "eps-inf-matched": "∞: no privacy, matched recipe",
}
GROUPS = {"F": "female", "M": "male", "U": "unknown", "True": "bedside", "False": "not bedside"}
UNKNOWN = "not estimable"
WITHHELD = "withheld"
DASH = "\N{EN DASH}"
NBSP = "\N{NO-BREAK SPACE}"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def finding(name: str) -> str:
    """A finding in words: "Pleural effusion right"."""
    return name.replace("_", " ").capitalize()


def group(column: str, value: str) -> str:
    """A group in words: "female", "30 to 59 years"."""
    if column == "age" and value.startswith("["):
        low, high = (float(edge) for edge in value[1:-1].split(","))
        if math.isinf(high):
            return f"{low:g} years or older"
        last = f"{high - 1:g}" if high.is_integer() else f"under {high:g}"
        return f"under {high:g} years" if low == 0 else f"{low:g} to {last} years"
    return GROUPS.get(value, value)


def arm(name: str, *, epsilon: float) -> str:
    """An arm in words: "ε = 0.29", "no privacy (ε = ∞)"."""
    if name == "eps-inf-matched":
        return "no privacy, matched recipe"
    if math.isinf(epsilon):
        return f"no privacy ({column(name, epsilon=epsilon)})"
    said = column(name, epsilon=epsilon)
    return f"not fine-tuned ({said})" if epsilon == 0 else said


def column(name: str, *, epsilon: float) -> str:
    """An arm as the head of a narrow column: "ε = ∞, matched"."""
    if name == "eps-inf-matched":
        return f"ε{NBSP}={NBSP}∞, matched"
    return f"ε{NBSP}={NBSP}{number(epsilon)}"


def auroc(value: float) -> str:
    """Three decimals."""
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else UNKNOWN


def spread(low: float, high: float) -> str:
    """An interval, "0.812 to 0.846"."""
    return f"{auroc(low)} to {auroc(high)}" if math.isfinite(low) and math.isfinite(high) else "no interval"


def number(value: object) -> str:
    """A count with thin spaces, or any other number as briefly as it can be said; what is missing is a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return DASH
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, float) and math.isinf(value):
        return "∞"
    if isinstance(value, float) and not value.is_integer():
        digits, _, power = f"{value:.4g}".partition("e")
        return f"{digits} × 10{str(int(power)).translate(RAISED)}" if power else digits
    return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}") if isinstance(value, int | float) else str(value)


def count(value: float, *, minimum: int) -> str:
    """A count, hidden as "<minimum" when it is above 0 and below `minimum`; with a minimum of 0 nothing is hidden."""
    return f"<{minimum}" if 0 < value < minimum else number(int(value))


def counts(values: Sequence[float], *, minimum: int) -> list[str]:
    """The parts of a total that is shown: as `count`, and what would give a hidden part away is withheld.

    As long as the hidden ones are a single part, or come to less than `minimum`, the least of the others is withheld.
    """
    hidden = [value for value in values if 0 < value < minimum]
    withheld: set[int] = set()
    for at in sorted(range(len(values)), key=lambda at: values[at]):
        if hidden and values[at] >= minimum and (len(hidden) == 1 or sum(hidden) < minimum):
            withheld.add(at)
            hidden.append(values[at])
    return [WITHHELD if at in withheld else count(value, minimum=minimum) for at, value in enumerate(values)]


def listed(items: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def sentence(text: str) -> str:
    """A phrase as a sentence: a capital first and a full stop last."""
    return text[:1].upper() + text[1:].rstrip(".") + "."
