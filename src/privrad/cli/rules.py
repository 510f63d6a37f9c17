"""One sub-command a rule: it takes the rule's files and the study, and hands the module what it needs of them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from privrad import config
from privrad.cli import processes as several
from privrad.cli.options import OPTIONS, Commands, chosen_arm, chosen_cohort, chosen_experiment

if TYPE_CHECKING:
    from privrad.training.binding import Inputs, Job


def register(commands: Commands) -> None:
    """Add the rules' sub-commands, in the order in which the data goes through them."""
    of_rule = ("--study", "--experiment")
    training = ("--shards", "--manifest", "--assignment", "--out")
    finetune = (*of_rule, "--arm", "--seed", *training, "--initial", "--public", "--work")
    add = commands.add
    add("provenance", _provenance, "list the hashes of the source files behind each rule", "--out")
    add("phantom", _phantom, "draw a cohort of chest radiographs or abdominal CT scans", *of_rule, "--role", "--out")
    cohort = (*of_rule, "--role", "--root")
    add("ingest", _ingest, "read a cohort's tables into a manifest", *cohort, "--manifest", "--refused", "--rejects")
    add("locate", _locate, "write where a cohort's images lie, for the house alone", *cohort, "--manifest", "--out")
    pictures = ("--manifest", "--shards", "--public-manifest", "--public-shards")
    copies = (*of_rule, "--role", *pictures, "--kept", "--identities", "--found", "--counts", "--removed")
    add("duplicates", _duplicates, "find pictures that stand twice and take copies out", *copies)
    split = (*of_rule, "--role", "--manifest", "--assignment", "--balance")
    add("split", _split, "assign patients to training, validation and test", *split)
    prepare = (*of_rule, "--role", "--shard", "--root", "--manifest", "--paths", "--out", "--rejects", "--text")
    add("prepare", _prepare, "prepare the images of one shard", *prepare)
    add("pretrain", _pretrain, "train on the public cohort", *of_rule, "--activation", *training, "--report", "--work")
    add("reserve", _reserve, "enter one training in the ledger, within the cohort's budget", *finetune)
    results = ("--reservation", "--report", "--certificate")
    add("finetune", _finetune, "train on the private cohort at one epsilon and seed", *finetune, *results)
    add("predict", _predict, "score validation and test images", *of_rule, "--arm", "--seed", "--weights", *training)
    evaluate = add("evaluate", _evaluate, "measure accuracy, by finding and group", "--predictions", "--out")
    for option in of_rule:
        evaluate.add_argument(option, **{**OPTIONS[option], "required": False})
    shown = ("--study", "--results", "--private")
    figures = add("figures", _figures, "draw the study's figures and tables", *shown)
    report = add("report", _report, "write the report", *shown, "--out")
    report.add_argument("--internal", action="store_true", help="write the one that must not leave the hospital")
    for parser in (figures, report):
        parser.add_argument("--published", **OPTIONS["--published"])
    for parser in (figures, evaluate):
        parser.add_argument("--threads", type=int, help="how many cores to use (default: all)")


def _key(options: argparse.Namespace, cohort: config.Cohort) -> bytes:
    from privrad.cohorts import identity

    seed = config.load(options.study).seed
    folder = Path(os.environ.get("PRIVRAD_KEYS") or "work/keys")
    return identity.key_for(cohort.sensitivity, seed=seed, folder=folder)


def _provenance(options: argparse.Namespace) -> None:
    from privrad import provenance

    provenance.run(out=options.out)


def _phantom(options: argparse.Namespace) -> None:
    from privrad.cohorts import phantom

    cohort = chosen_cohort(options)
    if cohort.phantom is None:
        raise config.ConfigError(
            f"cohort {cohort.id} lies at {cohort.root}; only a cohort with a phantom block is drawn"
        )
    phantom.run(cohort.phantom, layout=cohort.layout, seed=config.load(options.study).seed, out=options.out)


def _ingest(options: argparse.Namespace) -> None:
    from privrad.cohorts import ingest

    ingest.run(
        chosen_cohort(options),
        findings=chosen_experiment(options).findings,
        root=options.root,
        key=_key(options, chosen_cohort(options)),
        manifest=options.manifest,
        refused=options.refused,
        rejects=options.rejects,
    )


def _locate(options: argparse.Namespace) -> None:
    from privrad.cohorts import locate

    cohort = chosen_cohort(options)
    locate.run(
        cohort,
        findings=chosen_experiment(options).findings,
        root=options.root,
        key=_key(options, cohort),
        manifest=options.manifest,
        out=options.out,
    )


def _duplicates(options: argparse.Namespace) -> None:
    from privrad.cohorts import duplicates

    experiment = chosen_experiment(options)
    duplicates.run(
        manifest=options.manifest,
        shards=options.shards,
        findings=experiment.findings,
        role=options.role,
        by_table=getattr(experiment.split, options.role).by == "table",
        public=(options.public_manifest, options.public_shards) if options.public_manifest else None,
        same_ids=experiment.same_ids,
        kept=options.kept,
        identities=options.identities,
        found=options.found,
        counts=options.counts,
        removed=options.removed,
    )


def _split(options: argparse.Namespace) -> None:
    from privrad.cohorts import split

    experiment = chosen_experiment(options)
    split.run(
        getattr(experiment.split, options.role),
        findings=experiment.findings,
        manifest=options.manifest,
        key=_key(options, chosen_cohort(options)),
        assignment=options.assignment,
        balance=options.balance,
        needed=("train", "test") if options.role == "private" else ("train",),
    )


def _prepare(options: argparse.Namespace) -> None:
    from privrad.imaging import prepare

    experiment = chosen_experiment(options)
    prepare.run(
        manifest=options.manifest,
        paths=options.paths,
        root=options.root,
        shard=options.shard,
        image=experiment.image,
        modality=experiment.modality,
        out=options.out,
        rejects=options.rejects,
        text=options.text,
        trusted=chosen_cohort(options).sensitivity != "private",
    )


def _pretrain(options: argparse.Namespace) -> None:
    from privrad.training import pretrain

    study, experiment = config.load(options.study), chosen_experiment(options)
    if experiment.pretraining is None:
        raise config.ConfigError(f"experiment {options.experiment} has pretraining: none; there is nothing to pretrain")
    pretrain.run(
        shards=options.shards,
        manifest=options.manifest,
        assignment=options.assignment,
        findings=experiment.findings,
        pretraining=experiment.pretraining,
        model=experiment.model,
        activation=options.activation,
        seed=study.seed,
        performance=study.performance,
        work=options.work,
        out=options.out,
        report=options.report,
    )


def _job(options: argparse.Namespace) -> Job:
    from privrad.training.binding import Job

    chosen_arm(options)
    return Job(study=config.load(options.study), experiment=options.experiment, arm=options.arm, seed=options.seed)


def _inputs(options: argparse.Namespace) -> Inputs:
    from privrad.training.binding import Inputs

    if options.public and len(options.public) != 2:
        raise config.ConfigError(f"--public names {len(options.public)} files; give the public manifest and its split")
    return Inputs(
        shards=options.shards,
        manifest=options.manifest,
        assignment=options.assignment,
        initial=options.initial,
        public=tuple(options.public) if options.public else None,
    )


def _reserve(options: argparse.Namespace) -> None:
    from privrad.training import reserve

    job = _job(options)
    key = _key(options, job.settings.cohorts.private)
    reserve.run(job, inputs=_inputs(options), work=options.work, key=key, out=options.out)


def _finetune(options: argparse.Namespace) -> int:
    job = _job(options)
    if several.wanted(job.study.performance.processes):
        return several.launch(options.arguments, processes=job.study.performance.processes)
    from privrad.training import finetune

    finetune.run(
        job,
        inputs=_inputs(options),
        reservation=options.reservation,
        work=options.work,
        key=_key(options, job.settings.cohorts.private),
        out=options.out,
        report=options.report,
        certificate=options.certificate,
    )
    return 0


def _predict(options: argparse.Namespace) -> None:
    from privrad.training import predict

    study, experiment = config.load(options.study), chosen_experiment(options)
    predict.run(
        weights=options.weights,
        shards=options.shards,
        manifest=options.manifest,
        assignment=options.assignment,
        findings=experiment.findings,
        model=experiment.model,
        arm=chosen_arm(options),
        seed=options.seed,
        performance=study.performance,
        out=options.out,
    )


def _evaluate(options: argparse.Namespace) -> None:
    from privrad.evaluation import evaluate
    from privrad.evaluation.settings import Settings

    if (options.study is None) != (options.experiment is None):
        raise config.ConfigError(
            "--study and --experiment go together; give both, or neither for the default evaluation"
        )
    chosen = chosen_experiment(options).evaluation if options.study else config.Evaluation()
    seed = config.load(options.study).seed if options.study else 0
    settings = Settings(**chosen.model_dump(), seed=seed)
    evaluate.run(options.predictions, settings=settings, threads=options.threads, out=options.out)


def _roots(study: config.Study, *, results: Path) -> dict[tuple[str, config.Role], Path]:
    """The folder of each cohort, by experiment and role."""
    return {
        (name, role): cohort.root or results / name / "phantom" / role
        for name, experiment in study.experiments.items()
        for role, cohort in experiment.roles.items()
    }


def _figures(options: argparse.Namespace) -> None:
    from privrad.report import report

    study = config.load(options.study)
    roots = _roots(study, results=options.results)
    report.figures_of(
        study,
        results=options.results,
        private=options.private,
        roots=roots,
        published=options.published,
        threads=options.threads or len(os.sched_getaffinity(0)),
    )


def _report(options: argparse.Namespace) -> None:
    from privrad.report import report

    study = config.load(options.study)
    report.run(
        study,
        study_file=options.study,
        results=options.results,
        private=options.private,
        roots=_roots(study, results=options.results),
        published=options.published,
        out=options.out,
        internal=options.internal,
    )
