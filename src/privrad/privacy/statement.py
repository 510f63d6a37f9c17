"""A ledger as text and as a value for JSON: what was spent on each cohort, by which runs, and whose keys are there."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import Any

from privrad.privacy.balance import Account, Reservation, accounts
from privrad.privacy.chain import Entry
from privrad.privacy.charges import Charge
from privrad.privacy.ledger import Verification

COLUMNS = ("run", "unit", "epsilon", "charged", "entered", "key", "run id")
EMPTY = "no run was entered yet"
NOT_SHOWN = "a rewrite by someone who holds the file and every certificate does not show"


def summary(entries: Iterable[Entry], *, cohort: str | None = None) -> dict[str, Any]:
    """For JSON, of every cohort or of one: budgets, spent epsilon, what is left, and each run.

    No limit is None. An infinite epsilon stays a float, for the caller to write as it likes. A run that was declared
    and not started has no run id. `key` is "there" (its file is), "deleted", "missing" or None (it had none).
    """
    return {name: _account(book) for name, book in accounts(entries).items() if cohort in (None, name)}


def table(entries: Iterable[Entry], *, cohort: str | None = None) -> str:
    """For reading: per cohort the budget, the spent epsilon and what is left, then one line a run."""
    return "\n\n".join(_lines(name, facts) for name, facts in summary(entries, cohort=cohort).items()) or EMPTY


def verified(found: Verification) -> str:
    """What a check of the chain found, in words."""
    text = f"{found.entries} entries, each matching its hash and following the one before\nhead {found.head}"
    if found.compared is None:
        return (
            f"{text}\na tail lost at a line's end would not show: compare the head in the newest certificate "
            f"(--head); {NOT_SHOWN}"
        )
    return f"{text}\nnothing before the head given was lost; {found.since} entries came after it; {NOT_SHOWN}"


def _account(book: Account) -> dict[str, Any]:
    started = {run.label for run in book.runs if run.declared}
    waiting = [charge for charge in book.declared or () if charge.label not in started]
    budget, spent = book.budget, book.spent()
    return {
        "budget": None if budget is None else {key: budget.facts()[key] for key in ("epsilon", "delta", "unit")},
        "former_budgets": [{"since": time, **old.facts()} for time, old in book.budgets[:-1]],
        "spent_epsilon": spent,
        "protected_epsilon": book.charged(),
        "left_epsilon": None if budget is None or math.isinf(budget.epsilon) else max(0.0, budget.epsilon - spent),
        "runs": [*map(_run, book.runs), *map(_waiting, waiting)],
    }


def _run(run: Reservation) -> dict[str, Any]:
    charge = run.charge
    return {
        "label": run.label,
        "unit": charge.unit if charge else None,
        "epsilon": charge.epsilon() if charge else math.inf,
        "delta": charge.delta if charge else None,
        "charged": f"unprotected: {run.why}" if charge is None else "declared" if run.declared else "later",
        "entered": run.time,
        "finished": run.finished,
        "key": _key(run),
        "key_file": run.key_file,
        "run_id": run.run_id,
    }


def _waiting(charge: Charge) -> dict[str, Any]:
    return {
        "label": charge.label,
        "unit": charge.unit,
        "epsilon": charge.epsilon(),
        "delta": charge.delta,
        "charged": "declared",
        "entered": None,
        "finished": None,
        "key": None,
        "key_file": None,
        "run_id": None,
    }


def _key(run: Reservation) -> str | None:
    if run.key_file is None:
        return None
    if run.finished:
        return "deleted"
    return "there" if os.path.exists(run.key_file) else "missing"


def _lines(name: str, facts: dict[str, Any]) -> str:
    rows = [COLUMNS, *map(_row, facts["runs"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    aligned = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([_heading(name, facts), "", *(f"  {line}" for line in aligned)])


def _heading(name: str, facts: dict[str, Any]) -> str:
    budget, spent, former = facts["budget"], facts["spent_epsilon"], facts["former_budgets"]
    if budget is None:
        return f"{name}: {'infinite epsilon' if math.isinf(spent) else 'nothing'} spent; no budget"
    left = "" if facts["left_epsilon"] is None else f"; {facts['left_epsilon']:.4g} left"
    terms = f"per {budget['unit']}, delta {budget['delta']:g}"
    total = f"infinite (protected runs alone {facts['protected_epsilon']:.4g})" if math.isinf(spent) else f"{spent:.4g}"
    changes = [
        f"\n  before: {_limit(old)} per {old['unit']}, delta {old['delta']:g}, from {old['since']}" for old in former
    ]
    return f"{name}: epsilon {total} spent of {_limit(budget)}{left} ({terms})" + "".join(changes)


def _limit(budget: dict[str, Any]) -> str:
    return "no limit" if budget["epsilon"] is None else f"{budget['epsilon']:g}"


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    epsilon = "infinite" if math.isinf(run["epsilon"]) else f"{run['epsilon']:.4g}"
    entered = run["entered"] or "not started"
    return (
        run["label"],
        run["unit"] or "-",
        epsilon,
        run["charged"],
        entered,
        run["key"] or "-",
        run["run_id"] or "-",
    )
