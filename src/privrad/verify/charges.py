"""What a certificate states of the ledger, recomputed from the ledger's entries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from privrad.privacy.ledger import Account, Charge, Reservation, accounts
from privrad.verify.read import Statement, Training


def _run_in_ledger(training: Training) -> Iterator[Statement]:
    """The run was entered, by the numbers that the certificate states."""
    held = training.certificate
    if held["ledger"] is None:
        return
    run_id = held["ledger"]["run_id"]
    found = _found(accounts(training.entries or ()), run_id)
    yield "ledger: holds the run", run_id, found[1].run_id if found else None
    if found is None:
        return
    entered = found[1]
    if training.place is not None:
        yield "ledger: label of the run", "/".join(training.place), entered.label
    charged = entered.charge is not None
    yield "ledger: protected by noise of a drawn key", training.released, charged
    yield "ledger: head stated", held["ledger"]["head"] is not None, charged or entered.sensitivity == "private"
    if training.released and entered.charge is not None:
        yield from _charge(training, entered.charge)
        yield "ledger: key file deleted", True, entered.finished is not None and not _still_there(entered.key_file)


def _so_far_in_ledger(training: Training) -> Iterator[Statement]:
    """The head is in the ledger, and the entries up to it give the cohort's total."""
    held = training.certificate
    if held["ledger"] is None or held["ledger"]["head"] is None:
        return
    head, entries = held["ledger"]["head"], training.entries or ()
    index = next((entry.index for entry in entries if entry.hash == head), None)
    if index is None:
        yield "ledger: holds the head", head, "not in it: its tail was lost, or it is another hospital's"
        return
    found = _found(accounts(entries[: index + 1]), held["ledger"]["run_id"])
    yield "ledger: holds the run up to the head", True, found is not None
    if found is None:
        return
    book, entered = found
    so_far = held["cohort_so_far"]
    yield "ledger: entry", held["ledger"]["entry"], entered.entry
    named = "unprotected" if entered.charge is None else "declared" if entered.declared else "later"
    yield "ledger: cohort_so_far.this_run", so_far["this_run"], named
    yield "ledger: cohort_so_far.delta", so_far["delta"], book.budget.delta if book.budget else None
    yield "ledger: cohort_so_far.unit", so_far["unit"], book.budget.unit if book.budget else None
    spent = book.spent()
    yield "ledger: cohort_so_far.epsilon", so_far["epsilon"], "infinite" if math.isinf(spent) else spent


def _charge(training: Training, charge: Charge) -> Iterator[Statement]:
    held = training.certificate
    for name in ("unit", "noise_multiplier", "sample_rate", "steps", "delta"):
        yield f"ledger: charged {name}", held[name], getattr(charge, name)
    if held["unit"] == "record":
        yield "ledger: charged max_images_per_patient", held["other_unit"]["images"], charge.max_images_per_patient


def _found(books: Mapping[str, Account], run_id: str) -> tuple[Account, Reservation] | None:
    return next(((book, run) for book in books.values() for run in book.runs if run.run_id == run_id), None)


def _still_there(key_file: str | None) -> bool:
    return key_file is not None and Path(key_file).exists()


LEDGER: tuple[Callable[[Training], Iterator[Statement]], ...] = (_run_in_ledger, _so_far_in_ledger)
