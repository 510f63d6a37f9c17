"""The tools beside the workflow: single images, what a training would cost, what was spent, and whether it is true."""

from __future__ import annotations

import argparse
import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from privrad import config
from privrad.cli.options import OPTIONS, Commands, chosen_experiment

RUN = ("--delta", "--sample-rate", "--steps")
TRUSTED: dict[str, Any] = {
    "action": "store_true",
    "help": "take captured screens, scanned films and pictures with burned-in annotation, too: nobody is named in them",
}


def register(commands: Commands) -> None:
    """Add the tools' sub-commands."""
    image = commands.add("prepare-image", _prepare_image, "prepare one radiograph, DICOM, PNG or JPEG")
    image.add_argument("source", type=Path, metavar="IN")
    image.add_argument("out", type=Path, metavar="OUT.png")
    image.add_argument("--size", type=int, default=512, help="rows and columns of the picture (default 512)")
    image.add_argument("--trusted", **TRUSTED)
    volume = commands.add("prepare-volume", _prepare_volume, "prepare one CT scan, NIfTI or a DICOM series")
    volume.add_argument("source", type=Path, metavar="IN", help="a NIfTI file, a folder of slices, or one of them")
    volume.add_argument("out", type=Path, metavar="OUT.nii.gz")
    lengths: Any = ("COLUMNS", "ROWS", "SLICES")
    volume.add_argument("--size", type=int, nargs=3, default=(224, 224, 128), metavar=lengths, help="(224 224 128)")
    ends: Any = ("LOW", "HIGH")
    volume.add_argument(
        "--window", type=float, nargs=2, default=(-150, 250), metavar=ends, help="in Hounsfield units (-150 250)"
    )
    seen = commands.add("inspect", _inspect, "show a study's cohorts before any training, on one page for the house")
    seen.add_argument("study", type=Path, metavar="STUDY.yaml", help="the study file")
    seen.add_argument("--experiment", help="this experiment alone")
    seen.add_argument("--out", type=Path, help="the page (private/STUDY/inspect.html)")
    seen.add_argument("--samples", type=int, default=12, help="the most pictures of a cohort (12)")
    volume.add_argument("--trusted", **TRUSTED)
    commands.add("stages", _stages, "write the study's phases as DVC's stages", "--study").add_argument(
        "--out", type=Path, default=Path("dvc.yaml"), help="(dvc.yaml)"
    )
    calibrate = commands.add(
        "calibrate", _calibrate, "the least noise multiplier that keeps an epsilon", *RUN, "--json"
    )
    calibrate.add_argument("--epsilon", type=float, required=True, help="the epsilon to keep, above 0")
    account = commands.add("account", _account, "the epsilon of one training, or of all of a study", "--json")
    account.add_argument("--study", type=Path, help="a study file: all its private trainings together, by cohort")
    account.add_argument(
        "--noise-multiplier", type=float, help="of one training: noise over the clipping norm, above 0"
    )
    for option in RUN:
        account.add_argument(option, **{**OPTIONS[option], "required": False})
    ledger = commands.group("ledger", "what was spent on each cohort, and whether the ledger holds")
    show = ledger.add("show", _ledger_show, "what was spent on each cohort, run by run, and what is left", "--json")
    show.add_argument("--cohort", help="this cohort alone")
    verify = ledger.add("verify", _ledger_verify, "check every line of the ledger", "--json")
    verify.add_argument("--head", help="the head that a certificate names: check that nothing before it was lost")
    commands.add("published", _published, "redraw the published figures from their numbers", "--published", "--out")
    recompute = commands.add("verify", _verify, "recompute every number that a study's report shows", "--json")
    recompute.add_argument("--all", action="store_true", help="redo every interval, however large the test set")
    recompute.add_argument("results", type=Path, metavar="results/STUDY", help="the study's results folder")
    _which_ledger(recompute, default="none: what was spent is not recomputed")
    for parser in (show, verify):
        _which_ledger(parser, default="that of config.yaml")


def _which_ledger(parser: argparse.ArgumentParser, *, default: str) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--ledger", type=Path, help=f"the ledger (default {default})")
    which.add_argument("--study", type=Path, help="the study file that names the ledger")


def _prepare_image(options: argparse.Namespace) -> None:
    from privrad.imaging import prepare

    prepare.prepare_image(options.source, options.out, size=options.size, trusted=options.trusted)


def _prepare_volume(options: argparse.Namespace) -> None:
    from privrad.imaging import prepare

    size, window = tuple(options.size), tuple(options.window)
    prepare.prepare_volume(options.source, options.out, size=size, window=window, trusted=options.trusted)


def _inspect(options: argparse.Namespace) -> int:
    from privrad.inspect import inspect

    study = config.load(options.study)
    named = options.experiment is not None
    return inspect.run(
        study,
        study_file=options.study,
        experiments={options.experiment: chosen_experiment(options)} if named else study.experiments,
        samples=options.samples,
        results=Path("results") / study.study,
        keys=Path(os.environ.get("PRIVRAD_KEYS") or "work/keys"),
        sheets=Path("resources/datasheets"),
        out=options.out or Path("private") / study.study / "inspect.html",
    )


def _stages(options: argparse.Namespace) -> None:
    from privrad import stages

    stages.run(config.load(options.study), out=options.out)


def _calibrate(options: argparse.Namespace) -> None:
    from privrad.privacy import accounting

    needed = accounting.noise_multiplier(options.epsilon, options.delta, options.sample_rate, options.steps)
    _tell(options, {"noise_multiplier": needed}, f"noise multiplier {needed:.6g}")


def _account(options: argparse.Namespace) -> None:
    numbers = ("noise_multiplier", "delta", "sample_rate", "steps")
    run = {name: getattr(options, name) for name in numbers if getattr(options, name) is not None}
    if options.study is not None and not run:
        _account_of_study(options)
    elif options.study is None and len(run) == len(numbers):
        _account_of_run(options, run)
    else:
        raise config.ConfigError("give --noise-multiplier, --delta, --sample-rate and --steps, or --study alone")


def _account_of_run(options: argparse.Namespace, run: dict[str, Any]) -> None:
    from privrad.privacy import accounting, certificate

    found = {
        "epsilon": accounting.epsilon(**run),
        "prv": accounting.prv_epsilon(**run),
        "rdp": accounting.rdp_epsilon(**run),
    }
    said = {"epsilon": "PLD, the one reported", "prv": "PRV, upper end of its interval", "rdp": "Rényi DP, looser"}
    lines = [f"epsilon at delta {options.delta:g}, one unit added or removed"]
    lines += [f"{found[name]:10.4f}  {which}" for name, which in said.items()]
    other = certificate.other_deltas(**run)
    lines += [f"{epsilon:10.4f}  PLD at delta {delta}" for delta, epsilon in other.items()]
    _tell(options, found | run | {"other_deltas": other}, "\n".join(lines))


def _account_of_study(options: argparse.Namespace) -> None:
    study = config.load(options.study)
    ids = dict.fromkeys(experiment.cohorts.private.id for experiment in study.experiments.values())
    facts = [cost for cohort in ids if (cost := _cost(study, cohort)) is not None]
    lines = []
    for cost in facts:
        limit = "without a budget" if math.isinf(cost["budget"]) else f"of a budget of {cost['budget']:g}"
        runs = f"{len(cost['runs'])} private trainings together"
        per = f"per {cost['unit']} at delta {cost['delta']:g}"
        lines.append(f"{cost['cohort']}: {runs} cost epsilon {cost['epsilon']:.4f} {per}, {limit}")
    _tell(options, facts, "\n".join(lines) or "no training of this study is charged: none has noise: release")


def _cost(study: config.Study, cohort: str) -> dict[str, Any] | None:
    """What all private runs of a study on one cohort cost as one declaration; None where it has none."""
    from privrad.privacy import accounting
    from privrad.training import planned

    jobs = planned.declared(study, cohort=cohort)
    if not jobs:
        return None
    budget, charges = planned.budget_of(jobs[0]), [planned.charge_of(job) for job in jobs]
    total = accounting.compose([charge.charged(budget.unit) for charge in charges], delta=budget.delta)
    return {
        "cohort": cohort,
        "epsilon": total,
        "delta": budget.delta,
        "unit": budget.unit,
        "budget": budget.epsilon,
        "runs": {charge.label: {"noise_multiplier": charge.noise_multiplier} for charge in charges},
    }


def _ledger_show(options: argparse.Namespace) -> None:
    from privrad.privacy import statement
    from privrad.privacy.ledger import Ledger

    path = _ledger(options)
    entries = Ledger(path).entries()
    if options.ledger is not None and not path.exists():
        raise ValueError(f"ledger {path} is not there; name the file that the study's ledger: names")
    facts = statement.summary(entries, cohort=options.cohort)
    if options.cohort is not None and not facts:
        known = ", ".join(statement.summary(entries)) or "none yet"
        raise ValueError(f"cohort {options.cohort!r} is not in {path}; it has {known}")
    _tell(options, facts, statement.table(entries, cohort=options.cohort))


def _ledger_verify(options: argparse.Namespace) -> int:
    from privrad.privacy import statement
    from privrad.privacy.ledger import Ledger, LedgerError

    path = _ledger(options)
    try:
        found = Ledger(path).verify(head=options.head)
    except LedgerError as error:
        if not path.exists():
            raise
        _tell(options, {"ledger": str(path), "holds": False, "why": str(error)}, str(error))
        return 1
    _tell(options, {"ledger": str(path), "holds": True, **asdict(found)}, f"{path}: {statement.verified(found)}")
    return 0


def _published(options: argparse.Namespace) -> None:
    from privrad.report import published

    published.run(published.read(options.published), out=options.out)


def _verify(options: argparse.Namespace) -> int:
    from privrad import verify

    named = options.ledger is not None or options.study is not None
    ledger = _ledger(options) if named else None
    checks = verify.run(options.results, ledger=ledger, study=options.study, everything=options.all)
    _tell(options, verify.facts(checks), verify.table(checks))
    return 0 if all(check.holds for check in checks) else 1


def _ledger(options: argparse.Namespace) -> Path:
    """The ledger that the options name."""
    return options.ledger or config.load(options.study or Path("config.yaml")).ledger


def _tell(options: argparse.Namespace, facts: Any, text: str) -> None:
    """Print `facts` as JSON where that was asked for, else `text`."""
    print(json.dumps(_finite(facts), indent=2, allow_nan=False) if options.json else text)


def _finite(facts: Any) -> Any:
    """`facts` with infinities as the word, since JSON has no number for them."""
    if isinstance(facts, dict):
        return {key: _finite(value) for key, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [_finite(value) for value in facts]
    return "infinite" if isinstance(facts, float) and math.isinf(facts) else facts
