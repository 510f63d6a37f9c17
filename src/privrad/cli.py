"""The command line: one sub-command a rule, and the tools for single images."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from privrad import config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; 0 when it is done, 2 with one message when the input cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        _log_to(options.log)
        options.command(options)
    except ValueError as error:
        logging.getLogger("privrad").error("privrad %s: %s", options.name, error)
        return 2
    except OSError as error:
        reason = "a file stands where a folder is needed" if isinstance(error, FileExistsError) else error.strerror
        said = f"{reason}: {error.filename}; give another path or mend this one" if reason else str(error)
        logging.getLogger("privrad").error("privrad %s: %s", options.name, said)
        return 2
    return 0


def _log_to(path: Path | None) -> None:
    logging.getLogger("pydicom").disabled = True  # its warnings name files, and a log may be passed on
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=handlers, force=True)
    logging.getLogger("privrad").setLevel(logging.INFO)


def _experiment(options: argparse.Namespace) -> config.Experiment:
    experiments = config.load(options.study).experiments
    if options.experiment not in experiments:
        raise config.ConfigError(
            f"experiment {options.experiment!r} is not in {options.study}; it has {', '.join(experiments)}"
        )
    return experiments[options.experiment]


def _cohort(options: argparse.Namespace) -> config.Cohort:
    roles = _experiment(options).roles
    if options.role not in roles:
        raise config.ConfigError(f"role {options.role!r} has no cohort in {options.study}; it has {', '.join(roles)}")
    return roles[options.role]


def _arm(options: argparse.Namespace) -> config.Arm:
    arms = _experiment(options).arms
    if options.arm not in arms:
        raise config.ConfigError(f"arm {options.arm!r} is not in {options.study}; it has {', '.join(arms)}")
    return arms[options.arm]


def _key(options: argparse.Namespace) -> bytes:
    from privrad.cohorts import identity

    seed = config.load(options.study).seed
    folder = Path(os.environ.get("PRIVRAD_KEYS") or "work/keys")
    return identity.key_for(_cohort(options).sensitivity, seed=seed, folder=folder)


def _phantom(options: argparse.Namespace) -> None:
    from privrad.cohorts import phantom

    cohort = _cohort(options)
    if cohort.phantom is None:
        raise config.ConfigError(
            f"cohort {cohort.id} lies at {cohort.root}; only a cohort with a phantom block is drawn"
        )
    phantom.run(cohort.phantom, layout=cohort.layout, seed=config.load(options.study).seed, out=options.out)


def _ingest(options: argparse.Namespace) -> None:
    from privrad.cohorts import ingest

    ingest.run(
        _cohort(options),
        findings=_experiment(options).findings,
        root=options.root,
        key=_key(options),
        manifest=options.manifest,
        paths=options.paths,
        refused=options.refused,
        rejects=options.rejects,
    )


def _split(options: argparse.Namespace) -> None:
    from privrad.cohorts import split

    experiment = _experiment(options)
    split.run(
        getattr(experiment.split, options.role),
        findings=experiment.findings,
        manifest=options.manifest,
        key=_key(options),
        assignment=options.assignment,
        balance=options.balance,
        needed=("train", "test") if options.role == "private" else ("train",),
    )


def _prepare(options: argparse.Namespace) -> None:
    from privrad.imaging import prepare

    image = _experiment(options).image
    prepare.run(
        manifest=options.manifest,
        paths=options.paths,
        root=options.root,
        shard=options.shard,
        shards=image.shards,
        size=image.size,
        out=options.out,
        rejects=options.rejects,
    )


def _prepare_image(options: argparse.Namespace) -> None:
    from privrad.imaging import prepare

    prepare.prepare_image(options.source, options.out, size=options.size)


def _pretrain(options: argparse.Namespace) -> None:
    from privrad.training import pretrain

    study, experiment = config.load(options.study), _experiment(options)
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
        out=options.out,
        report=options.report,
    )


def _finetune(options: argparse.Namespace) -> None:
    from privrad.training import finetune

    study, experiment = config.load(options.study), _experiment(options)
    public_manifest, public_assignment = options.public or (None, None)
    finetune.run(
        arm=_arm(options),
        shards=options.shards,
        manifest=options.manifest,
        assignment=options.assignment,
        findings=experiment.findings,
        public_manifest=public_manifest,
        public_assignment=public_assignment,
        initial=options.initial,
        privacy=experiment.privacy,
        training=experiment.training,
        model=experiment.model,
        seed=options.seed,
        study_seed=study.seed,
        performance=study.performance,
        out=options.out,
        report=options.report,
        certificate=options.certificate,
    )


def _predict(options: argparse.Namespace) -> None:
    from privrad.training import predict

    study, experiment = config.load(options.study), _experiment(options)
    predict.run(
        weights=options.weights,
        shards=options.shards,
        manifest=options.manifest,
        assignment=options.assignment,
        findings=experiment.findings,
        model=experiment.model,
        arm=_arm(options),
        seed=options.seed,
        performance=study.performance,
        out=options.out,
    )


def _evaluate(options: argparse.Namespace) -> None:
    from privrad.evaluation import evaluate

    if (options.study is None) != (options.experiment is None):
        raise config.ConfigError(
            "--study and --experiment go together; give both, or neither for the default evaluation"
        )
    chosen = _experiment(options).evaluation if options.study else config.Evaluation()
    seed = config.load(options.study).seed if options.study else 0
    evaluate.run(options.predictions, **chosen.model_dump(), seed=seed, out=options.out)


def _report(options: argparse.Namespace) -> None:
    from privrad.report import report

    study = config.load(options.study)
    roots = {
        (name, role): cohort.root or options.results / name / "phantom" / role
        for name, experiment in study.experiments.items()
        for role, cohort in experiment.roles.items()
    }
    report.run(
        study, study_file=options.study, results=options.results, private=options.private, roots=roots, out=options.out
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="privrad", description="Diagnostic models under differential privacy, from raw radiographs to a report."
    )
    commands = parser.add_subparsers(title="commands", dest="name", required=True, metavar="COMMAND")

    def add(
        name: str, command: Callable[[argparse.Namespace], None], summary: str, *options: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.set_defaults(command=command)
        added.add_argument("--log", type=Path, help="also write messages to this file")
        for option in options:
            added.add_argument(option, **_OPTIONS[option])
        return added

    of_rule = ("--study", "--experiment")
    training = ("--shards", "--manifest", "--assignment", "--out")
    add("phantom", _phantom, "draw a cohort of chest radiographs", *of_rule, "--role", "--out")
    ingest = (*of_rule, "--role", "--root", "--manifest", "--refused", "--paths", "--rejects")
    add("ingest", _ingest, "read a cohort's tables into a manifest", *ingest)
    split = (*of_rule, "--role", "--manifest", "--assignment", "--balance")
    add("split", _split, "assign patients to training, validation and test", *split)
    prepare = (*of_rule, "--shard", "--root", "--manifest", "--paths", "--out", "--rejects")
    add("prepare", _prepare, "prepare the images of one shard", *prepare)
    add("pretrain", _pretrain, "train on the public cohort", *of_rule, "--activation", *training, "--report")
    finetune = (*of_rule, "--arm", "--seed", *training, "--report", "--initial", "--public", "--certificate")
    add("finetune", _finetune, "train on the private cohort at one epsilon and seed", *finetune)
    add("predict", _predict, "score validation and test images", *of_rule, "--arm", "--seed", "--weights", *training)
    evaluate = add("evaluate", _evaluate, "measure accuracy, by finding and group", "--predictions", "--out")
    for option in of_rule:
        evaluate.add_argument(option, **{**_OPTIONS[option], "required": False})
    add("report", _report, "write the report", "--study", "--results", "--private", "--out")
    image = add("prepare-image", _prepare_image, "prepare one radiograph, DICOM, PNG or JPEG")
    image.add_argument("source", type=Path, metavar="IN")
    image.add_argument("out", type=Path, metavar="OUT.png")
    image.add_argument("--size", type=int, default=512, help="rows and columns of the picture (default 512)")
    return parser


_OPTIONS: dict[str, dict[str, Any]] = {
    "--study": {"type": Path, "required": True, "help": "the study file"},
    "--experiment": {"required": True, "help": "the experiment's name in the study file"},
    "--role": {"required": True, "choices": ("public", "private"), "help": "which of the experiment's cohorts"},
    "--arm": {"required": True, "help": "which training, such as eps-7.89 or eps-inf"},
    "--seed": {"type": int, "required": True, "help": "the seed of the training"},
    "--shard": {"type": int, "required": True, "help": "which shard, from 0"},
    "--activation": {"required": True, "choices": ("mish", "relu"), "help": "the network's activation"},
    "--shards": {"type": Path, "nargs": "+", "required": True, "help": "prepared images"},
    "--predictions": {"type": Path, "nargs": "+", "required": True, "help": "Parquet files, long form"},
    "--initial": {"type": Path, "nargs": "?", "help": "weights to start from"},
    "--public": {"type": Path, "nargs": "*", "help": "the public manifest and split, for the weights of the loss"},
    **{
        f"--{name}": {"type": Path, "required": True, "help": summary}
        for name, summary in {
            "root": "the cohort's folder",
            "out": "where to write",
            "report": "where to write the account of the training",
            "certificate": "where to write the certificate",
            "weights": "the model, safetensors",
            "manifest": "the manifest, Parquet",
            "assignment": "the split, Parquet",
            "balance": "where to write the balance of the split",
            "refused": "where to write the counts of refusals",
            "paths": "the plain paths, Parquet",
            "rejects": "where to write the refusals in full",
            "results": "the study's results folder",
            "private": "the study's private folder",
        }.items()
    },
}


if __name__ == "__main__":
    sys.exit(main())
