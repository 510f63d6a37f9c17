"""How a number that stands in a file is written in a report, and what may stand there in its place."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

MINUS, DASH, THIN, NBSP = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"
RAISED = dict(zip("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True))
NOTHING = frozenset((DASH, "not estimable"))
HIDDEN = frozenset(("withheld", "too few"))
BELOW = re.compile(r"<(\d+)")
BOUND = re.compile(r"([<>])\s(\d\.\d+)")
DIGITS_OF_HASH = 12


def written(value: Any, *, form: str) -> str:
    """A value in one of the forms of the page; ValueError for a form or a value that it has none for."""
    if form == "hash":
        return str(value)[:DIGITS_OF_HASH]
    if form == "length":
        return _plain(len(value))
    if form in ("number", "count"):
        return _plain(value)
    if form not in FORMS:
        raise ValueError(f"form {form!r} is none of {', '.join([*FORMS, 'number', 'count', 'length', 'hash'])}")
    return FORMS[form](float(value))


def absent(value: Any) -> bool:
    """Whether a cell or a key holds nothing."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def stands_for(text: str, value: Any, *, form: str, minimum: int | None, hides: bool | None) -> bool:
    """Whether a text that is not the number may stand in its place.

    `minimum` is the least count that is shown, and `hides` whether the study hides small cells; None where not known. A
    count may be "<minimum" where it is below, a rate "> bound" or "< bound" where it is beyond; "withheld" and
    "too few" may stand for anything in a study that hides, else "too few" alone, for what rests on few patients.
    """
    if text in NOTHING:
        return absent(value)
    if text in HIDDEN:
        return hides is not False or text == "too few"
    if hides is False or absent(value):
        return False
    if below := BELOW.fullmatch(text):
        return form == "count" and 0 <= float(value) < int(below[1]) and minimum in (None, int(below[1]))
    if bound := BOUND.fullmatch(text):
        limit = float(bound[2])
        return float(value) > limit if bound[1] == ">" else float(value) < limit
    return False


def cell(text: str, *, form: str) -> Any:
    """A cell of a CSV file as a value: a number wherever it reads as one; None where it is empty."""
    if text == "":
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    whole = form == "count" or re.fullmatch(r"-?\d+", text)
    return int(value) if whole and math.isfinite(value) and value.is_integer() else value


def _auroc(value: float) -> str:
    return f"{value:.3f}".replace("-", MINUS) if math.isfinite(value) else "not estimable"


def _signed(value: float) -> str:
    return _auroc(value) if value < 0 or not math.isfinite(value) else f"+{value:.3f}"


def _percent(value: float) -> str:
    return f"{100 * value:.3g}{NBSP}%"


def _probability(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _plain(value: Any) -> str:
    """Whole numbers with thin spaces, others to four digits, a power of ten raised; a dash for nothing."""
    if absent(value):
        return DASH
    if isinstance(value, bool | str) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and math.isinf(value):
        return "∞"
    if float(value).is_integer():
        return format(int(value), ",").replace(",", THIN).replace("-", MINUS)
    digits, _, power = format(value, ".4g").partition("e")
    raised = "".join(RAISED[letter] for letter in str(int(power))) if power else ""
    return f"{digits} × 10{raised}" if power else digits


FORMS: Mapping[str, Callable[[float], str]] = {
    "auroc": _auroc,
    "signed": _signed,
    "size": lambda value: _auroc(abs(value)),
    "percent": _percent,
    "p": _probability,
}
