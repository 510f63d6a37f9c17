"""Enter one fine-tuning into the ledger before its first step, or find the run that it was entered as."""

from __future__ import annotations

import os
from pathlib import Path

from privrad import files
from privrad.privacy.ledger import Ledger, accounts
from privrad.training import run as runs
from privrad.training.binding import Binding, Inputs, Job, bind
from privrad.training.lock import locked
from privrad.training.planned import budget_of, charge_of, declared
from privrad.training.run import Run


def run(job: Job, *, inputs: Inputs, work: Path, key: bytes, out: Path) -> None:
    """Write the reservation of one fine-tuning: the id of its run and, unless it is for release, its code's hash.

    `work` is the job's work folder and `key` the key of its cohort. Under noise: release a run is charged once, before
    `out` is written: the same job with the same inputs is the same run, whether it is unfinished, so that it resumes,
    or finished, so that nothing is trained. Other inputs are another run, charged anew only where the study says so.
    Runs without that protection are entered as such; epsilon 0 is not entered. Raises ValueError, with nothing
    charged and nothing lost, for inputs that cannot be used and where the ledger refuses.
    """
    with locked(work):
        binding = bind(job, inputs=inputs)
        run_id = _released(job, binding, work) if job.for_release else _unprotected(job, binding, key)
    code = {} if job.for_release else {"code": binding.machinery["code"]}
    files.write_json(out, {"label": job.label, "run_id": run_id, **code})


def _released(job: Job, binding: Binding, work: Path) -> str:
    """The id of the run of this binding, charged by now."""
    known = runs.find(work)
    mine = _matching(known, binding)
    if mine is not None:
        _enter(job, mine)
        return mine.run_id
    charged = [earlier for earlier in known if Ledger(job.study.ledger).holds(earlier.run_id)]
    if charged and not _spends(job):
        raise ValueError(_changed(job, charged[-1], binding))
    mine = runs.create(work, run_id=os.urandom(16).hex(), binding=binding, secret=os.urandom(runs.KEY_BYTES))
    try:
        _enter(job, mine)
    except ValueError:
        mine.remove()
        raise
    return mine.run_id


def _matching(known: list[Run], binding: Binding) -> Run | None:
    """The latest run of what is asked for that has all its steps, or that can go on bit for bit."""
    for candidate in reversed(known):
        if candidate.trained and not candidate.binding.differences(binding, machinery=False):
            return candidate
        if candidate.key_file.exists() and not candidate.binding.differences(binding):
            return candidate
    return None


def _enter(job: Job, mine: Run) -> None:
    """Have the ledger hold the run; a run that it holds already costs nothing."""
    ledger, budget = Ledger(job.study.ledger), budget_of(job)
    if ledger.holds(mine.run_id) is None:
        book = accounts(ledger.entries()).get(budget.cohort)
        others = declared(job.study, cohort=budget.cohort) if book is None or book.declared is None else []
        ledger.reserve(
            charge_of(job),
            run_id=mine.run_id,
            budget=budget,
            declared=[charge_of(other) for other in others],
            key_file=mine.key_file,
            again=_spends(job),
        )


def _spends(job: Job) -> bool:
    return job.settings.spends(job.recipe, seed=job.seed)


def _changed(job: Job, latest: Run, binding: Binding) -> str:
    """Why the latest run is not this one, and what can be done."""
    differing = latest.binding.differences(binding, machinery=not latest.trained)
    why = f"since then {', '.join(differing)} changed" if differing else "its key is gone"
    return (
        f"{job.label} was charged before, as run {latest.run_id}, and {why}. Put that back, and the run is used or "
        f"resumed at no charge; or set spend: [{job.arm}/seed-{job.seed}] in the experiment to train and pay again"
    )


def _unprotected(job: Job, binding: Binding, key: bytes) -> str:
    """The id of a run that can be repeated, entered as one that protects nobody where it trains."""
    run_id, recipe, cohort = repeatable_id(binding, key=key), job.recipe.recipe, job.settings.cohorts.private
    if recipe != "none":
        Ledger(job.study.ledger).unprotected(
            cohort=cohort.id,
            sensitivity=cohort.sensitivity,
            label=job.label,
            run_id=run_id,
            why="seeded noise" if recipe == "private" else "without privacy",
        )
    return run_id


def repeatable_id(binding: Binding, *, key: bytes) -> str:
    """The id of a run whose randomness follows from its seeds: it follows from all that was asked for."""
    return binding.keyed(key, kind="run")[:32]


def repeatable(binding: Binding, *, work: Path, key: bytes) -> Run:
    """The run of a job whose randomness follows from its seeds, unfinished or new; what other inputs left is removed.

    Its secret follows from the settings and the seeds alone.
    """
    run_id = repeatable_id(binding, key=key)
    for known in runs.find(work):
        if known.run_id == run_id and known.binding == binding:
            return known
        if known.repeatable:
            known.remove()
    return runs.create(work, run_id=run_id, binding=binding, secret=binding.seeded(key))
