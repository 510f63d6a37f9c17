"""How findings, groups, arms and numbers are said in the report: one place, so that every table and figure agrees."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

LEGEND = {
    "private": "private, with interval",
    "eps-0": "0: not fine-tuned",
    "eps-inf": "∞: no privacy",
    "eps-inf-matched": "∞: no privacy, matched recipe",
    "trainings": "mean and σ over trainings",
}
GROUPS = {"F": "female", "M": "male", "U": "unknown", "True": "bedside", "False": "not bedside"}
BOTH = " & "
SHORT = {
    "pdac": ("PDAC", "pancreatic ductal adenocarcinoma"),
    "covid_19": ("COVID-19", "coronavirus disease 2019"),
}
UNNAMED = frozenset(("U", "unknown", "outside"))
TOO_FEW = "too few"
UNKNOWN = "not estimable"
WITHHELD = "withheld"
DASH = "\N{EN DASH}"
NBSP = "\N{NO-BREAK SPACE}"
SPACES = re.compile("[ \t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")
LONGEST = 60
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def flat(text: str) -> str:
    """Text from data as one line: no line breaks, no control or direction characters."""
    spaced = SPACES.sub(" ", text).strip(" ")
    return "".join(letter for letter in spaced if not unicodedata.category(letter).startswith("C"))


def finding(name: str) -> str:
    """A finding in words: "Pleural effusion right", "PDAC"."""
    return SHORT[name][0] if name in SHORT else name.replace("_", " ").capitalize()


def inside(name: str) -> str:
    """A finding within a sentence: "pleural effusion right", "PDAC"."""
    return finding(name) if name in SHORT else finding(name).lower()


def in_full(name: str) -> str:
    """A finding within a sentence, with what a short name stands for: "PDAC (pancreatic ductal adenocarcinoma)"."""
    return f"{SHORT[name][0]} ({SHORT[name][1]})" if name in SHORT else inside(name)


def grouping(column: str) -> str:
    """What images are grouped by, in words: "age", "sex and age", "number of findings"."""
    return "number of findings" if column == "findings" else column.replace("_", " ").replace(BOTH, " and ")


def group(column: str, value: str) -> str:
    """A group in words: "female", "30 to 59 years", "female, 30 to 59 years", "3 or more findings".

    A value of the data's own is one line of at most LONGEST letters.
    """
    parts = list(zip(column.split(BOTH), value.split(BOTH), strict=False))
    if len(parts) > 1 and column.count(BOTH) == value.count(BOTH):
        return ", ".join(group(*part) for part in parts)
    if column == "findings" and value.rstrip("+").isdecimal():
        counted = f"{value.rstrip('+')} or more" if value.endswith("+") else {"0": "no"}.get(value, value)
        return f"{counted} finding{'s' * (value != '1' and value != '0')}"
    if column == "age" and value.startswith("["):
        low, high = (float(edge) for edge in value[1:-1].split(","))
        if math.isinf(high):
            return f"{low:g} years or older"
        last = f"{high - 1:g}" if high.is_integer() else f"under {high:g}"
        return f"under {high:g} years" if low == 0 else f"{low:g} to {last} years"
    named = GROUPS.get(value) or flat(value)
    return named if len(named) <= LONGEST else f"{named[: LONGEST - 1]}…"


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
    if not isinstance(value, int | float):
        return str(value)
    return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """A share as percent, to three digits: "95 %", "1.99 %"."""
    return f"{100 * value:.3g}{NBSP}%"


def signed(value: float) -> str:
    """Three decimals with their sign: "+0.012"."""
    return auroc(value) if not math.isfinite(value) or value < 0 else f"+{value:.3f}"


def probability(value: float) -> str:
    """A p-value to three decimals, or that it is below 0.001."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def written(value: Any, *, form: str) -> str:
    """A value in one of the forms of the page.

    auroc: three decimals; signed: these with a sign; size: these without one;
    percent: of a share, three digits; p: three decimals or "<0.001";
    count and number: see `number`; length: how many items; hash: the first twelve hexadecimal digits.
    Raises ValueError for another form.
    """
    if form == "hash":
        return str(value)[:12]
    if form == "length":
        return number(len(value))
    if form in ("number", "count"):
        return number(value)
    forms = {
        "auroc": auroc,
        "signed": signed,
        "size": lambda number: auroc(abs(number)),
        "percent": percent,
        "p": probability,
    }
    if form not in forms:
        raise ValueError(f"form {form!r} is none of {', '.join([*forms, 'number', 'count', 'length', 'hash'])}")
    return forms[form](float(value))


def absent(value: Any) -> bool:
    """Whether a cell of a table holds nothing."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def plain(value: Any) -> str:
    """A key of a table as it stands in the file; nothing where the cell is empty."""
    return "" if absent(value) else str(value)


def listed(items: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def sentence(text: str) -> str:
    """A phrase as a sentence: a capital first and a full stop last."""
    return text[:1].upper() + text[1:].rstrip(".") + "."
