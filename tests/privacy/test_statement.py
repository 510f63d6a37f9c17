"""What was spent, by which runs, and whose keys are still there: the same in the table and in the value for JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from privrad.privacy import accounting, statement
from privrad.privacy.ledger import Budget, Charge, Ledger

LOUD = Charge(
    label="study/chest/eps-2/seed-0",
    unit="patient",
    noise_multiplier=1.0,
    sample_rate=0.05,
    steps=40,
    delta=1e-5,
    max_images_per_patient=None,
)
QUIET = replace(LOUD, label="study/chest/eps-1/seed-0", noise_multiplier=2.0)
WAITING = replace(LOUD, label="study/chest/eps-0.5/seed-0", noise_multiplier=3.0)
BUDGET = Budget(cohort="uka-cxr", epsilon=8.0, delta=1e-5)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A declared run that ended, a later one whose key is there, a declared one not started; and a public cohort."""
    made, key = Ledger(tmp_path / "spent.jsonl"), tmp_path / "run.json"
    key.write_text("{}")
    for run, run_id in ((LOUD, "loud"), (QUIET, "quiet")):
        made.reserve(run, run_id=run_id, budget=BUDGET, declared=[LOUD, WAITING], key_file=key)
    made.finish("loud")
    made.unprotected(
        cohort="nih", sensitivity="public", label="study/nih/eps-inf/seed-0", run_id="open", why="without privacy"
    )
    return made


def test_the_summary_counts_what_the_accountants_do(ledger: Ledger) -> None:
    found = statement.summary(ledger.entries())
    assert list(found) == ["uka-cxr", "nih"]
    book = found["uka-cxr"]
    runs = [accounting.Run(noise_multiplier=sigma, sample_rate=0.05, steps=40) for sigma in (1.0, 3.0, 2.0)]
    assert book["spent_epsilon"] == accounting.spent(runs[:2], runs[2:], delta=1e-5) == book["protected_epsilon"]
    assert book["left_epsilon"] == 8.0 - book["spent_epsilon"]
    assert book["budget"] == {"epsilon": 8.0, "delta": 1e-5, "unit": "patient"}
    said = [(run["run_id"], run["charged"], run["key"]) for run in book["runs"]]
    assert said == [("loud", "declared", "deleted"), ("quiet", "later", "there"), (None, "declared", None)]
    alone = [accounting.epsilon(sigma, delta=1e-5, sample_rate=0.05, steps=40) for sigma in (1.0, 2.0, 3.0)]
    assert [run["epsilon"] for run in book["runs"]] == alone
    assert found["nih"]["runs"][0]["epsilon"] == math.inf
    assert found["nih"]["spent_epsilon"] == 0.0
    assert found["nih"]["budget"] is None
    json.dumps(found)
    assert list(statement.summary(ledger.entries(), cohort="nih")) == ["nih"]


def test_a_key_file_that_went_before_its_run_ended_is_missing(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "run.json").unlink()
    runs = statement.summary(ledger.entries())["uka-cxr"]["runs"]
    assert [run["key"] for run in runs] == ["deleted", "missing", None]


def test_the_table_reads_as_it_should(ledger: Ledger) -> None:
    text = statement.table(ledger.entries())
    spent = statement.summary(ledger.entries())["uka-cxr"]["spent_epsilon"]
    lines = text.splitlines()
    assert lines[0] == f"uka-cxr: epsilon {spent:.4g} spent of 8; {8 - spent:.4g} left (per patient, delta 1e-05)"
    rows = [line.split() for line in lines[3:6]]
    assert [row[0] for row in rows] == [LOUD.label, QUIET.label, WAITING.label]
    assert [row[-1] for row in rows] == ["loud", "quiet", "-"]
    assert [row[3] for row in rows] == ["declared", "later", "declared"]
    assert "not started" in lines[5]
    assert lines[7] == "nih: nothing spent; no budget"
    assert "unprotected: without privacy" in lines[10]
    column = lines[2].index("charged")
    assert all(line[column - 1] == " " != line[column] for line in lines[2:6])
    assert statement.table(ledger.entries(), cohort="nih") == "\n".join(lines[7:])
    assert statement.table([]) == "no run was entered yet"


def test_the_table_shows_former_budgets_and_an_exposed_cohort(ledger: Ledger) -> None:
    free = replace(BUDGET, epsilon=80.0)
    ledger.reserve(WAITING, run_id="third", budget=free, declared=[], key_file=None)
    before = statement.summary(ledger.entries())["uka-cxr"]
    assert before["budget"]["epsilon"] == 80
    assert before["left_epsilon"] == 80 - before["spent_epsilon"]
    spent, left = before["spent_epsilon"], before["left_epsilon"]
    assert statement.table(ledger.entries()).splitlines()[:2] == [
        f"uka-cxr: epsilon {spent:.4g} spent of 80; {left:.4g} left (per patient, delta 1e-05)",
        f"  before: 8 per patient, delta 1e-05, from {before['former_budgets'][0]['since']}",
    ]
    ledger.unprotected(cohort="uka-cxr", sensitivity="private", label="x", run_id="bare", why="seeded noise")
    after = statement.summary(ledger.entries())["uka-cxr"]
    assert after["spent_epsilon"] == math.inf
    assert after["protected_epsilon"] == before["spent_epsilon"]
    assert "epsilon infinite (protected runs alone" in statement.table(ledger.entries())


def test_a_declared_run_trained_with_other_numbers_still_shows_what_was_declared(ledger: Ledger) -> None:
    other = replace(WAITING, steps=41)
    ledger.reserve(other, run_id="other", budget=BUDGET, declared=[], key_file=None)
    runs = statement.summary(ledger.entries())["uka-cxr"]["runs"]
    of_label = [(run["run_id"], run["charged"]) for run in runs if run["label"] == WAITING.label]
    assert of_label == [("other", "later"), (None, "declared")]


def test_a_check_says_what_it_found_and_what_it_cannot_show(ledger: Ledger) -> None:
    alone = statement.verified(ledger.verify())
    assert alone.startswith("6 entries, each matching its hash and following the one before\nhead ")
    assert "a tail lost at a line's end would not show" in alone
    head = ledger.entries()[3].hash
    compared = statement.verified(ledger.verify(head=head))
    assert "nothing before the head given was lost; 2 entries came after it" in compared
    for text in (alone, compared):
        assert "a rewrite by someone who holds the file and every certificate does not show" in text
