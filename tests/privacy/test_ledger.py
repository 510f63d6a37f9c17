"""A run is entered once, before its first step; no less is charged than was spent; what is refused changes nothing."""

from __future__ import annotations

import math
import multiprocessing
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privrad.privacy import accounting
from privrad.privacy.chain import Record, following, lines
from privrad.privacy.journal import Journal
from privrad.privacy.ledger import Budget, Charge, Ledger, LedgerError, Receipt, accounts, spent

FORK = multiprocessing.get_context("fork")
DELTA = 1e-5
PAST = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"


def charge(arm: str, **changed: Any) -> Charge:
    numbers: dict[str, Any] = {"unit": "patient", "noise_multiplier": 2.0, "sample_rate": 0.05, "steps": 40}
    numbers |= {"delta": DELTA, "max_images_per_patient": None}
    return Charge(label=f"study/chest/{arm}/seed-0", **{**numbers, **changed})


STUDY = [charge("eps-1"), charge("eps-2", noise_multiplier=1.0)]
BUDGET = Budget(cohort="uka-cxr", epsilon=8.0, delta=DELTA)


def reserve(ledger: Ledger, run: Charge, run_id: str, **changed: Any) -> Receipt:
    given: dict[str, Any] = {"budget": BUDGET, "declared": STUDY, "key_file": None, **changed}
    return ledger.reserve(run, run_id=run_id, **given)


def kinds(ledger: Ledger) -> list[str]:
    return [entry.kind for entry in ledger.entries()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / "spent.jsonl"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger(path)


def runs(*charges: Charge, images: int = 1) -> list[accounting.Run]:
    return [
        accounting.Run(
            noise_multiplier=each.noise_multiplier, sample_rate=each.sample_rate, steps=each.steps, images=images
        )
        for each in charges
    ]


def test_the_first_run_declares_its_whole_study_and_pays_for_it(ledger: Ledger) -> None:
    receipt = reserve(ledger, STUDY[0], "a")
    entries = ledger.entries()
    assert [entry.kind for entry in entries] == ["budget", "declare", "reserve"]
    together = accounting.compose(runs(*STUDY), delta=DELTA)
    assert receipt == Receipt(
        run_id="a",
        head=entries[-1].hash,
        spent_epsilon=together,
        delta=DELTA,
        unit="patient",
        declared=True,
        entry=2,
    )
    second = reserve(ledger, STUDY[1], "b")
    assert (second.declared, second.spent_epsilon, second.entry) == (True, together, 3)
    assert spent(ledger.entries(), BUDGET.cohort) == together > accounting.compose(runs(STUDY[0]), delta=DELTA)


@pytest.mark.parametrize(
    "run", [charge("eps-4"), charge("eps-1", steps=41), charge("eps-1", delta=1e-6)], ids=["new", "steps", "delta"]
)
def test_what_was_not_declared_so_is_charged_as_a_later_run(ledger: Ledger, run: Charge) -> None:
    reserve(ledger, STUDY[1], "a")
    receipt = reserve(ledger, run, "b", declared=[*STUDY[1:], run])
    assert not receipt.declared
    assert receipt.spent_epsilon == accounting.spent(runs(*STUDY), runs(run), delta=DELTA)
    assert kinds(ledger) == ["budget", "declare", "reserve", "reserve"]


def test_a_study_that_declares_nothing_pays_for_each_run(ledger: Ledger) -> None:
    receipt = reserve(ledger, STUDY[0], "a", declared=[])
    assert (receipt.declared, receipt.spent_epsilon) == (False, accounting.adaptive(runs(STUDY[0]), delta=DELTA))


def test_a_resume_adds_nothing_even_where_the_budget_is_used_up(ledger: Ledger, path: Path) -> None:
    first = reserve(ledger, STUDY[0], "a")
    before = path.read_bytes()
    tight = replace(BUDGET, epsilon=first.spent_epsilon / 2)
    assert reserve(ledger, STUDY[0], "a", budget=tight, declared=[]) == first
    assert path.read_bytes() == before
    assert ledger.holds("a") == first


@pytest.mark.parametrize("other", [charge("eps-1", steps=41), charge("eps-4")])
def test_a_run_id_stands_for_one_run(ledger: Ledger, path: Path, other: Charge) -> None:
    reserve(ledger, STUDY[0], "a")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"run a was entered .* with other settings"):
        reserve(ledger, other, "a")
    with pytest.raises(LedgerError, match=r"run a was entered .* with other settings"):
        reserve(ledger, STUDY[0], "a", budget=replace(BUDGET, cohort="mimic"))
    with pytest.raises(LedgerError, match=r"run a was entered .* with other settings"):
        ledger.unprotected(
            cohort=BUDGET.cohort, sensitivity="private", label=STUDY[0].label, run_id="a", why="seeded noise"
        )
    assert path.read_bytes() == before


def test_a_label_is_trained_again_only_where_that_is_asked_for_and_paid(ledger: Ledger, path: Path) -> None:
    first = reserve(ledger, STUDY[0], "a")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=rf"eps-1/seed-0 was trained.*as run a on {PAST}; put.*set spend: true"):
        reserve(ledger, STUDY[0], "b")
    assert path.read_bytes() == before
    second = reserve(ledger, STUDY[0], "b", again=True)
    assert not second.declared
    assert second.spent_epsilon == accounting.spent(runs(*STUDY), runs(STUDY[0]), delta=DELTA) > first.spent_epsilon
    third = reserve(ledger, STUDY[0], "c", again=True)
    assert third.spent_epsilon == accounting.spent(runs(*STUDY), runs(STUDY[0], STUDY[0]), delta=DELTA)


def test_a_run_beyond_the_budget_is_refused_before_anything_is_written(ledger: Ledger, path: Path) -> None:
    together = accounting.compose(runs(*STUDY), delta=DELTA)
    short = replace(BUDGET, epsilon=together * (1 - 1e-9))
    with pytest.raises(LedgerError, match=r"cohort uka-cxr: the study's 2 private runs, declared together"):
        reserve(ledger, STUDY[0], "a", budget=short)
    assert not path.exists()
    exact = replace(BUDGET, epsilon=together)
    reserve(ledger, STUDY[0], "a", budget=exact)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=rf"eps-4.* above its budget of .*, of which {together:.4g} is spent"):
        reserve(ledger, charge("eps-4"), "b", budget=exact)
    with pytest.raises(LedgerError, match="above its budget"):
        reserve(ledger, STUDY[1], "b", budget=short)
    assert path.read_bytes() == before
    assert ledger.holds("b") is None
    assert reserve(ledger, STUDY[1], "b", budget=exact).spent_epsilon == together


def test_a_changed_budget_is_an_entry_and_the_last_one_counts(ledger: Ledger) -> None:
    reserve(ledger, STUDY[0], "a")
    wider = replace(BUDGET, epsilon=20.0, delta=1e-6)
    receipt = reserve(ledger, charge("eps-4"), "b", budget=wider)
    assert kinds(ledger) == ["budget", "declare", "reserve", "budget", "reserve"]
    assert receipt.spent_epsilon == accounting.spent(runs(*STUDY), runs(STUDY[0]), delta=1e-6)
    book = accounts(ledger.entries())[BUDGET.cohort]
    assert [budget for _, budget in book.budgets] == [BUDGET, wider]


def test_cohorts_are_charged_apart(ledger: Ledger) -> None:
    first = reserve(ledger, STUDY[0], "a")
    other = reserve(ledger, STUDY[0], "b", budget=replace(BUDGET, cohort="mimic"), declared=STUDY[:1])
    assert other.declared
    assert other.spent_epsilon == accounting.compose(runs(STUDY[0]), delta=DELTA) < first.spent_epsilon
    assert ledger.holds("a") == replace(first, head=other.head)
    assert spent(ledger.entries(), "elsewhere") == 0.0


def test_a_budget_without_limit_still_counts(ledger: Ledger) -> None:
    free = replace(BUDGET, epsilon=math.inf)
    loud = charge("eps-9", noise_multiplier=0.6)
    receipt = reserve(ledger, loud, "a", budget=free, declared=[loud])
    assert receipt.spent_epsilon == accounting.compose(runs(loud), delta=DELTA)
    assert accounts(ledger.entries())[free.cohort].budget == free


def test_records_are_charged_to_patients_by_the_most_images_of_one(ledger: Ledger, path: Path) -> None:
    record = charge("eps-1", unit="record", max_images_per_patient=3)
    receipt = reserve(ledger, record, "a", declared=[record])
    assert receipt.spent_epsilon == accounting.compose(runs(record, images=3), delta=DELTA)
    per_record = replace(BUDGET, cohort="mimic", unit="record")
    apart = reserve(ledger, record, "b", budget=per_record, declared=[record])
    assert (apart.unit, apart.spent_epsilon) == ("record", accounting.compose(runs(record), delta=DELTA))


@pytest.mark.parametrize(
    ("run", "unit", "said"),
    [
        (charge("eps-3"), "record", "has privacy.unit: patient, .* give the budget per patient"),
        (charge("eps-3", unit="record"), "patient", "privacy.max_images_per_patient is not set"),
    ],
)
def test_a_run_that_cannot_be_told_in_the_budgets_unit_is_refused(
    ledger: Ledger, path: Path, run: Charge, unit: Any, said: str
) -> None:
    for declared in ([run], [charge("eps-1", unit="record", max_images_per_patient=2), run]):
        with pytest.raises(LedgerError, match=said):
            reserve(ledger, declared[0], "a", budget=replace(BUDGET, unit=unit), declared=declared)
    assert not path.exists()


def test_a_budget_cannot_move_to_records_once_patients_were_charged(ledger: Ledger, path: Path) -> None:
    reserve(ledger, STUDY[0], "a")
    before = path.read_bytes()
    record = charge("eps-3", unit="record", max_images_per_patient=2)
    with pytest.raises(LedgerError, match=r"eps-1/seed-0 has privacy.unit: patient"):
        reserve(ledger, record, "b", budget=replace(BUDGET, unit="record"), declared=[record])
    assert path.read_bytes() == before


def test_a_run_without_protection_is_free_on_public_data_and_infinite_on_private(ledger: Ledger) -> None:
    open_to_all: dict[str, Any] = {"label": "study/chest/eps-inf/seed-0", "why": "without privacy"}
    public = ledger.unprotected(cohort="mimic", sensitivity="public", run_id="a", **open_to_all)
    assert (public.spent_epsilon, public.delta, public.unit, public.declared) == (0.0, None, None, False)
    protected = reserve(ledger, STUDY[0], "b")
    exposed = ledger.unprotected(cohort=BUDGET.cohort, sensitivity="private", run_id="c", **open_to_all)
    assert (exposed.spent_epsilon, exposed.delta, exposed.unit) == (math.inf, DELTA, "patient")
    assert ledger.unprotected(cohort=BUDGET.cohort, sensitivity="private", run_id="c", **open_to_all) == exposed
    after = ledger.holds("b")
    assert after is not None
    assert (after.spent_epsilon, protected.spent_epsilon < 8) == (math.inf, True)
    assert reserve(ledger, STUDY[1], "d").spent_epsilon == math.inf
    with pytest.raises(LedgerError, match="above its budget"):
        reserve(ledger, charge("eps-9", noise_multiplier=0.6), "e")
    assert kinds(ledger) == ["unprotected", "budget", "declare", "reserve", "unprotected", "reserve"]


def test_seeded_runs_leave_the_declaration_to_the_run_that_is_released(ledger: Ledger) -> None:
    ledger.unprotected(cohort=BUDGET.cohort, sensitivity="public", label=STUDY[0].label, run_id="s", why="seeded noise")
    assert reserve(ledger, STUDY[0], "a").declared


def test_an_end_is_entered_once_and_only_of_a_run(ledger: Ledger, path: Path) -> None:
    with pytest.raises(LedgerError, match="has no run a; reserve it first"):
        ledger.finish("a")
    receipt = reserve(ledger, STUDY[0], "a", key_file=Path("keys/run.json"))
    ledger.finish("a")
    ended = path.read_bytes()
    ledger.finish("a")
    assert path.read_bytes() == ended
    assert kinds(ledger)[-1] == "finish"
    book = accounts(ledger.entries())[BUDGET.cohort]
    assert re.fullmatch(PAST, book.runs[0].finished or "")
    assert book.runs[0].key_file == str(Path("keys/run.json").absolute())
    assert spent(ledger.entries(), BUDGET.cohort) == receipt.spent_epsilon


def test_a_certificates_head_shows_a_lost_tail(ledger: Ledger, path: Path) -> None:
    with pytest.raises(LedgerError, match="is not there"):
        ledger.verify()
    early = reserve(ledger, STUDY[0], "a")
    kept = path.read_bytes()
    late = reserve(ledger, STUDY[1], "b")
    found = ledger.verify(head=early.head)
    assert (found.entries, found.head, found.compared, found.since) == (4, late.head, early.head, 1)
    assert ledger.verify().since is None
    path.write_bytes(kept)
    Path(f"{path}.lock").unlink()
    assert ledger.verify(head=early.head).since == 0
    with pytest.raises(LedgerError, match=rf"chain of 3 entries, but head {late.head} is not in it"):
        ledger.verify(head=late.head)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"noise_multiplier": 0.0}, "eps-1/seed-0: noise_multiplier 0.0 must"),
        ({"noise_multiplier": math.nan}, "noise_multiplier of .* nan must be a number"),
        ({"noise_multiplier": "2"}, "must be a number"),
        ({"sample_rate": 1.5}, r"sample_rate 1.5 must lie in \(0, 1\]"),
        ({"steps": 0}, "steps of .* 0 must be a whole number of at least 1"),
        ({"steps": 1.5}, "must be a whole number"),
        ({"delta": 0.0}, r"delta of .* 0.0 must be in \(0, 1\)"),
        ({"unit": "image"}, "unit of .* image must be patient or record"),
        ({"max_images_per_patient": 0}, "max_images_per_patient of .* 0 must be a whole number"),
    ],
)
def test_a_charge_outside_its_range_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(LedgerError, match=said):
        charge("eps-1", **changed)


def test_what_contradicts_itself_is_refused_with_nothing_written(ledger: Ledger, path: Path) -> None:
    attempts: list[tuple[str, Callable[[], object]]] = [
        ("epsilon -1 must be above 0", lambda: replace(BUDGET, epsilon=-1)),
        (r"delta 1 must be in \(0, 1\)", lambda: replace(BUDGET, delta=1)),
        ("unit site must be patient or record", lambda: Budget(**{**asdict(BUDGET), "unit": "site"})),
        ("cohort '' must be a name", lambda: replace(BUDGET, cohort="")),
        ("label 'a.nb' must be a name on one line", lambda: replace(STUDY[0], label="a\nb")),
        ("run_id '' must be a name", lambda: reserve(ledger, STUDY[0], "")),
        ("eps-1/seed-0 is declared twice", lambda: reserve(ledger, STUDY[0], "a", declared=[*STUDY, STUDY[0]])),
        ("key_file 'a.nb'", lambda: reserve(ledger, STUDY[0], "a", key_file=Path("/a\nb"))),
    ]
    for sensitivity, why in (("secret", "seeded noise"), ("private", "on a whim")):
        wrong: Any = {"cohort": "c", "sensitivity": sensitivity, "label": "l", "run_id": "r", "why": why}
        attempts.append(("must be", partial(ledger.unprotected, **wrong)))
    for said, attempt in attempts:
        with pytest.raises(LedgerError, match=said.replace("a.nb", ".*")):
            attempt()
    assert not path.exists()


RESERVED: Record = ("reserve", {"cohort": "c", "run_id": "a", "charge": asdict(STUDY[0]), "key_file": None})
OPENED: list[Record] = [("budget", replace(BUDGET, cohort="c").facts()), ("declare", {"cohort": "c", "runs": []})]


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([("refund", {"run_id": "a"})], "line 1: unknown kind of entry 'refund'; use the version"),
        ([("budget", {"cohort": "c"})], "line 1: its content is not that of a 'budget' entry"),
        ([("budget", {**OPENED[0][1], "carry": 1})], "line 1: its content is not that of a 'budget' entry"),
        ([("declare", {"cohort": "c", "runs": [7]})], "line 1: its content is not that of a 'declare' entry"),
        ([OPENED[0], OPENED[1], OPENED[1]], "line 3: cohort c was declared before"),
        ([RESERVED], "line 1: cohort c has no budget or declaration"),
        ([*OPENED, RESERVED, RESERVED], "line 4: run a was entered before"),
        ([*OPENED, ("reserve", {**RESERVED[1], "charge": {}})], "line 3: its content is not that of a 'reserve' entry"),
        ([("finish", {"run_id": "a"})], "line 1: run 'a' ends that was never entered"),
        ([("finish", {"run_id": ["a"]})], "line 1: run .* ends that was never entered"),
    ],
)
def test_a_chain_that_holds_but_says_nothing_sound_is_refused(
    ledger: Ledger, path: Path, records: list[Record], said: str
) -> None:
    path.parent.mkdir()
    path.write_bytes(lines(following((), records)))
    before = path.read_bytes()
    for use in (ledger.entries, ledger.verify, lambda: ledger.holds("a"), lambda: reserve(ledger, STUDY[0], "z")):
        with pytest.raises(LedgerError, match=rf"ledger {path}, {said}"):
            use()
    assert path.read_bytes() == before


def _reserve_all(path: Path, worker: int) -> None:
    for number, run in enumerate([*STUDY, charge(f"eps-by-{worker}")]):
        reserve(Ledger(path), run, f"{worker}-{number}", budget=replace(BUDGET, epsilon=math.inf), again=True)


def test_processes_that_reserve_at_once_lose_nothing_and_declare_once(ledger: Ledger, path: Path) -> None:
    children = [FORK.Process(target=_reserve_all, args=(path, worker)) for worker in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=120)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert sorted(kinds(ledger)) == ["budget", "declare", *["reserve"] * 9]
    book = accounts(ledger.entries())[BUDGET.cohort]
    assert sorted(run.run_id for run in book.runs) == sorted(f"{w}-{n}" for w in range(3) for n in range(3))
    assert sorted(run.label for run in book.runs if run.declared) == [run.label for run in STUDY]


def _reserve_one(path: Path, worker: int, budget: Budget) -> None:
    reserve(Ledger(path), charge(f"eps-by-{worker}"), f"run-{worker}", budget=budget, declared=[])


def test_of_processes_at_once_only_as_many_get_in_as_the_budget_allows(path: Path) -> None:
    two = replace(BUDGET, epsilon=accounting.adaptive(runs(charge("x"), charge("y")), delta=DELTA))
    children = [FORK.Process(target=_reserve_one, args=(path, worker, two)) for worker in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=120)
    assert sorted(child.exitcode or 0 for child in children) == [0, 0, 1, 1]
    assert spent(Ledger(path).entries(), two.cohort) == two.epsilon


@dataclass
class Model:
    """What was charged, kept apart from the ledger: per cohort the declaration, and (run id, charge) in order."""

    declared: dict[str, list[Charge]] = field(default_factory=dict)
    reserved: dict[str, list[tuple[str, Charge]]] = field(default_factory=dict)

    def parts(self, cohort: str) -> tuple[list[Charge], list[Charge]]:
        declared, later, seen = self.declared.get(cohort, []), [], set()
        for _, run in self.reserved.get(cohort, []):
            if run.label in seen or run not in declared:
                later.append(run)
            seen.add(run.label)
        return declared, later


CHARGES = [charge(arm, noise_multiplier=noise, steps=1) for arm in ("eps-1", "eps-2", "eps-3") for noise in (2.0, 4.0)]
REQUESTS = st.tuples(
    st.sampled_from(["uka-cxr", "mimic"]),
    st.sampled_from(CHARGES),
    st.sampled_from("abcdef"),
    st.sampled_from([[], CHARGES[:1], [CHARGES[0], CHARGES[3]], [CHARGES[1], CHARGES[2], CHARGES[5]]]),
    st.sampled_from([0.3, 1.5, math.inf]),
    st.booleans(),
)


@settings(deadline=None, max_examples=50)
@given(st.lists(REQUESTS, min_size=1, max_size=12))
def test_the_ledger_never_charges_less_than_was_spent(requests: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, model = Path(folder) / "spent.jsonl", Model()
        for cohort, run, run_id, declared, most, again in requests:
            before = path.read_bytes() if path.exists() else b""
            known = {name: (place, old) for place, all_ in model.reserved.items() for name, old in all_}
            budget = Budget(cohort=cohort, epsilon=most, delta=DELTA)
            try:
                receipt = reserve(Ledger(path), run, run_id, budget=budget, declared=declared, again=again)
            except LedgerError:
                assert (path.read_bytes() if path.exists() else b"") == before
                continue
            if run_id in known:
                assert known[run_id] == (cohort, run)
                assert path.read_bytes() == before
            else:
                model.declared.setdefault(cohort, declared)
                model.reserved.setdefault(cohort, []).append((run_id, run))
                assert receipt.spent_epsilon <= most
            declared_then, later = model.parts(cohort)
            assert receipt.spent_epsilon == accounting.spent(runs(*declared_then), runs(*later), delta=DELTA)
        for cohort, reserved in model.reserved.items():
            at_least = accounting.compose(runs(*(run for _, run in reserved)), delta=DELTA)
            assert spent(Ledger(path).entries(), cohort) >= at_least * (1 - 1e-3)


def test_a_writer_that_died_leaves_a_ledger_that_says_how_to_mend_it(ledger: Ledger, path: Path) -> None:
    reserve(ledger, STUDY[0], "a")
    whole = path.read_bytes()
    with Journal(path).writing() as (entries, _):
        torn = lines(following(entries, [("finish", {"run_id": "a"})]))[:-20]
    path.write_bytes(whole + torn)
    for use in (ledger.entries, lambda: reserve(ledger, STUDY[1], "b"), lambda: ledger.finish("a")):
        with pytest.raises(LedgerError, match=rf"line 4, the last, was cut short.*truncate -s {len(whole)} "):
            use()
    assert path.read_bytes() == whole + torn
    path.write_bytes(whole)
    assert reserve(ledger, STUDY[1], "b").entry == 3


def test_one_charge_pays_for_one_training(ledger: Ledger) -> None:
    reserve(ledger, STUDY[0], "a")
    ledger.start("a", start="1" * 64)
    ledger.start("a", start="1" * 64)
    assert kinds(ledger) == ["budget", "declare", "reserve", "start"]
    with pytest.raises(LedgerError, match=r"run a of .* was started with other methods or code.*one training"):
        ledger.start("a", start="2" * 64)
    ledger.finish("a")
    with pytest.raises(LedgerError, match=rf"run a of .* ended on {PAST}, and its one charge pays for one training"):
        ledger.start("a", start="1" * 64)
    with pytest.raises(LedgerError, match="has no run b; reserve it first"):
        ledger.start("b", start="1" * 64)
    assert kinds(ledger) == ["budget", "declare", "reserve", "start", "finish"]


def test_a_run_is_held_to_the_numbers_that_it_was_charged_for(ledger: Ledger) -> None:
    reserve(ledger, STUDY[0], "a")
    ledger.require("a", cohort="uka-cxr", charge=STUDY[0])
    with pytest.raises(LedgerError, match="with other settings"):
        ledger.require("a", cohort="uka-cxr", charge=replace(STUDY[0], noise_multiplier=1.99))
    with pytest.raises(LedgerError, match="with other settings"):
        ledger.require("a", cohort="nih", charge=STUDY[0])


def test_a_limit_does_not_fall_because_a_study_sets_none(ledger: Ledger) -> None:
    reserve(ledger, STUDY[0], "a")
    with pytest.raises(LedgerError, match="has a budget of 8, and the study sets none"):
        reserve(ledger, STUDY[1], "b", budget=replace(BUDGET, epsilon=math.inf))
    free = ledger.unprotected(cohort="uka-cxr", sensitivity="public", label="x", run_id="u", why="without privacy")
    assert free.spent_epsilon == math.inf
