"""The study in hand, and the functions by which rules ask for their part of it. No rules here."""

import functools
import json
import os
import sys
from pathlib import Path
from shlex import quote

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from privrad import provenance, stages
from privrad.config import ConfigError, load

if len(workflow.overwrite_configfiles) > 1:
    raise WorkflowError(
        f"--configfile names {len(workflow.overwrite_configfiles)} files; a study is one whole file, so give one"
    )
if workflow.config_settings.config:
    raise WorkflowError(
        f"--config {workflow.config_settings.config} would change the study unseen; edit the study file instead"
    )

STUDY_FILE = os.path.relpath(next(iter(workflow.overwrite_configfiles), "config.yaml"))

# $STUDY, not a parameter: a study that moves to another file is the same study.
shell.prefix(f"set -euo pipefail; PATH={quote(str(Path(sys.executable).parent))}:$PATH; STUDY={quote(STUDY_FILE)}; ")

try:
    STUDY = load(Path(STUDY_FILE))
    if "DVC_STAGE" in os.environ:
        stages.require(STUDY, path=stages.DVC_FILE)
except ConfigError as error:
    raise WorkflowError(str(error)) from None


NO_SETTING = {"spend": True, "cohorts": {"__all__": {"budget"}}}
"""What an experiment says to the ledger alone, so that no result depends on it."""


ARMS = sorted({arm for experiment in STUDY.experiments.values() for arm in experiment.arms})


def experiment_of(wildcards):
    return STUDY.experiments[wildcards.experiment]


@functools.cache
def code(rule):
    """Input: the source files that the rule's results depend on."""
    return [os.path.relpath(path) for path in provenance.behind(rule)]


def settings(*keys):
    """Params: the named parts of the experiment, as JSON; `study.` leads to the whole study's keys."""

    def lookup(wildcards):
        chosen = {}
        for key in keys:
            source, path = (
                (STUDY, key.removeprefix("study."))
                if key.startswith("study.")
                else (experiment_of(wildcards), key.format(**wildcards))
            )
            part = source.model_dump(mode="json", exclude=NO_SETTING)
            for name in path.split("."):
                part = part[name]
            chosen[key] = part
        return json.dumps(chosen, sort_keys=True)

    return lookup


def cohort_root(wildcards):
    """Input: the folder that a cohort lies in, drawn first when it is a phantom."""
    cohort = experiment_of(wildcards).roles[wildcards.role]
    if cohort.phantom is not None:
        return f"results/{STUDY.study}/{wildcards.experiment}/phantom/{wildcards.role}"
    return str(cohort.root)


def cohort_tables(wildcards):
    """Input: the tables of a cohort that is there already, so that an edited one is read again."""
    return stages.tables(experiment_of(wildcards).roles[wildcards.role])


def shards(role):
    """Input: all shards of one role's images."""

    def lookup(wildcards):
        return shards_of(wildcards.experiment, role)

    return lookup


def shards_of(experiment, role):
    return [
        f"results/{STUDY.study}/{experiment}/prepare/{role}/shard-{shard:03d}.safetensors"
        for shard in range(STUDY.experiments[experiment].image.shards)
    ]


def beside_manifest(wildcards):
    """Input: the public images that no private one may be a copy of."""
    if wildcards.role == "public" or "public" not in experiment_of(wildcards).roles:
        return []
    return f"results/{STUDY.study}/{wildcards.experiment}/duplicates/public/manifest.parquet"


def beside_shards(wildcards):
    """Input: the pixels of these."""
    return shards_of(wildcards.experiment, "public") if beside_manifest(wildcards) else []


def seeds_of(experiment, arm):
    """The seeds that an arm is trained with; without training there is one."""
    chosen = STUDY.experiments[experiment]
    return chosen.seeds if chosen.arms[arm].recipe != "none" else chosen.seeds[:1]


def runs_of(experiment, rule, file):
    """One file of every arm and seed of an experiment."""
    return [
        f"results/{STUDY.study}/{experiment}/{rule}/{arm}/seed-{seed}/{file}"
        for arm in STUDY.experiments[experiment].arms
        for seed in seeds_of(experiment, arm)
    ]


def arm_settings(wildcards):
    """Params: what the training of one arm depends on."""
    experiment = experiment_of(wildcards)
    chosen = experiment.settings(experiment.arms[wildcards.arm])
    return json.dumps(chosen | {"study_seed": STUDY.seed}, sort_keys=True, default=str)


def initial_weights(wildcards):
    """Input: the pretrained weights of the arm's activation, where there is a pretraining."""
    experiment = experiment_of(wildcards)
    if experiment.pretraining is None:
        return []
    activation = experiment.arms[wildcards.arm].activation
    return f"results/{STUDY.study}/{wildcards.experiment}/pretrain/{activation}/model.safetensors"


def public_labels(wildcards):
    """Input: the public cohort's labels, where the loss is weighted by their frequencies."""
    experiment = experiment_of(wildcards)
    untrained = experiment.arms[wildcards.arm].recipe == "none"
    if untrained or experiment.training.positive_weights != "public":
        return []
    folder = f"results/{STUDY.study}/{wildcards.experiment}"
    return [
        f"{folder}/duplicates/public/manifest.parquet",
        f"{folder}/split/public/assignment.parquet",
    ]


def training_code(rule):
    """Input: the code of a training; none where a model may be released, so that no later edit trains one again."""

    def lookup(wildcards):
        experiment = experiment_of(wildcards)
        private = "arm" not in wildcards.keys() or experiment.arms[wildcards.arm].recipe == "private"
        if private and experiment.privacy.noise == "release":
            return []
        return code(rule)

    return lookup


def predictions(wildcards):
    """Input: the predictions of every arm and seed."""
    return runs_of(wildcards.experiment, "predict", "predictions.parquet")


def whole():
    """All that a study makes; not the internal report where results were pulled, until somebody there asks for it."""
    study = STUDY.study
    page, internal = f"results/{study}/report.html", f"private/{study}/internal.html"
    made = [*drawn(), page] + [f"results/{study}/provenance/{rule}.sha256" for rule in provenance.RULES]
    if os.path.exists(f"private/{study}/pulled") and os.path.exists(page) and not os.path.exists(internal):
        logger.info(f"{internal} is not here and not asked for; to make it: snakemake internal")
        return made
    return [*made, internal]


def located():
    """Where all images of a study lie."""
    roles = ((name, role) for name, experiment in STUDY.experiments.items() for role in experiment.roles)
    return [f"private/{STUDY.study}/{name}/locate/{role}/paths.parquet" for name, role in roles]


EVALUATED = [
    *("metrics.csv", "differences.csv", "significance.csv", "fairness.csv", "thresholds.csv", "validation.csv"),
    *("curves.csv", "reliability.csv", "scores.csv", "correlations.csv", "correlation_points.csv", "seeds.csv"),
    *("summary.json", "overview.json"),
]
"""What an evaluation writes."""


FIGURES = [
    *("figure-2", "figure-3", "figure-4", "figure-5", "figure-s9", "trade-offs", "roc", "precision-recall"),
    *("reliability", "score-distributions", "table-1", "tables-s2-to-s8"),
]
"""What every experiment draws; one that is held against published results also draws both side by side."""

PUBLISHED = [
    f"resources/published/{table}.csv"
    for table in ("results", "counts", "statistics")
    if any(experiment.compare for experiment in STUDY.experiments.values())
]


def drawn():
    """Every figure of every experiment: drawn for a page, for print and, but for tables, for a telephone; its numbers."""
    return [
        f"results/{STUDY.study}/{name}/figures/{figure}{ending}"
        for name, experiment in STUDY.experiments.items()
        for figure in FIGURES + ["published"] * bool(experiment.compare)
        for ending in (".svg", ".pdf", *["-narrow.svg"] * (not figure.startswith("table")), ".csv")
    ]


def papers():
    """The model cards and checklists that come with the report."""
    files = []
    for name, experiment in STUDY.experiments.items():
        folder = f"results/{STUDY.study}/{name}"
        files += [
            f"{folder}/cards/{arm.name}/seed-{seed}/README.md"
            for arm in experiment.arms.values()
            if arm.recipe == "private"
            for seed in experiment.seeds
        ]
        files += [f"{folder}/checklists/{checklist}.md" for checklist in ("tripod-ai", "claim")]
    return files


def reported(wildcards):
    """Input: all that the report shows."""
    files = []
    for name, experiment in STUDY.experiments.items():
        folder = f"results/{STUDY.study}/{name}"
        for role in experiment.roles:
            files.append(f"{folder}/ingest/{role}/refused.csv")
            files += [
                f"{folder}/duplicates/{role}/{table}" for table in ("manifest.parquet", "counts.csv", "removed.csv")
            ]
            files += [f"{folder}/split/{role}/{table}" for table in ("assignment.parquet", "balance.csv")]
            files += shards_of(name, role)
        if experiment.pretraining is not None:
            files += [f"{folder}/pretrain/{activation}/training.json" for activation in experiment.activations]
        for account in ("training.json", "certificate.json"):
            files += runs_of(name, "finetune", account)
        files += [f"{folder}/evaluate/{table}" for table in EVALUATED]
    return [*files, *map(ancient, located())]


for _name, _experiment in STUDY.experiments.items():
    for _role, _cohort in _experiment.roles.items():
        if _cohort.root is not None and not _cohort.root.is_dir():
            raise WorkflowError(
                f"experiments.{_name}.cohorts.{_role}.root = {_cohort.root}: no such folder; correct the path in {STUDY_FILE}"
            )
