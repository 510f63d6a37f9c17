"""Pieces that answers are made of."""

from __future__ import annotations

from collections.abc import Iterable

from privrad.report import tables
from privrad.report.account import Account
from privrad.report.number import Number, Piece
from privrad.report.tables import Table, Text

Answer = Text | Table
SENSITIVITY = {"synthetic": "drawn by computer, and shows nobody", "public": "public", "private": "private"}


def setting(account: Account, *pointer: str, form: str = "number") -> Number:
    """A setting of the experiment, by the keys that lead to it in the study file."""
    value: object = account.experiment
    for key in pointer:
        value = getattr(value, key)
    return tables.setting(account.name, pointer, value, form=form)


def listed(items: Iterable[Piece | Text]) -> Text:
    """ "a, b and c"."""
    held = [item if isinstance(item, tuple) else (item,) for item in items]
    between = [", "] * max(len(held) - 2, 0) + [" and "] * (len(held) > 1) + [""] * bool(held)
    return tuple(piece for each, after in zip(held, between, strict=True) for piece in (*each, after))
