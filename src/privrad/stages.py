"""The phases of a study as DVC's stages: each runs one Snakemake target, whose fine edges are written in workflow/.

Written once for the shape of a study: its experiments, cohorts and blocks. Names, budgets and seeds stay where they
are, in config.yaml, which DVC reads itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from privrad import files
from privrad.config import Cohort, ConfigError, Experiment, Role, Study

STUDY_FILE = "config.yaml"
DVC_FILE = Path("dvc.yaml")
HEADER = "# Written by `make stages` from the shape of config.yaml; docs/versions.md says when to write it anew.\n"
RESULTS = "results/${study}"
TABLES = (
    *("*.csv*", "annotations/*.csv*", "CheXpert-v1.0*/*.csv", "*.json", "*/dataset.json", "*_list.txt"),
    *("ecgen-radiology", "*/ecgen-radiology", "ClinicalReadings", "*/ClinicalReadings"),
)
"""What rows of a cohort are read from, in one layout or another."""

Stage = dict[str, Any]
Stages = Iterator[tuple[str, Stage]]


def run(study: Study, *, out: Path) -> None:
    """Write the stages of a study as DVC's file."""
    files.write_text(out, text(study))


def require(study: Study, *, path: Path) -> None:
    """ConfigError where `path` does not hold the stages of the study."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text(study):
        raise ConfigError(
            f"{path} was written for a study of another shape than {STUDY_FILE}, so DVC would miss what changed; "
            "run make stages, and look at what git diff says"
        )


def text(study: Study) -> str:
    """The stages as YAML."""
    return HEADER + yaml.dump(dvc(study), Dumper=_Plain, sort_keys=False, width=120)


class _Plain(yaml.SafeDumper):
    """YAML without anchors: what stands twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dvc(study: Study) -> dict[str, Any]:
    """The content of DVC's file: stages, metrics and plots.

    Raises ConfigError for a budget whose text in the study is not the one that its arm is named by.
    """
    stages: dict[str, Stage] = {"provenance": _provenance()}
    for name, experiment in study.experiments.items():
        _spelt(name, experiment)
        for role, cohort in experiment.roles.items():
            stages |= _cohort(name, role, cohort, experiment)
        if experiment.pretraining is not None:
            stages[f"pretrain-{name}"] = _pretrain(name, experiment)
    stages["reserve"] = _reserve(study)
    for name, experiment in study.experiments.items():
        stages |= _runs(name, experiment)
        stages[f"evaluate-{name}"] = _evaluate(name, experiment)
    stages["report"] = _report(study)
    return {
        "vars": [STUDY_FILE],
        "stages": stages,
        "metrics": [f"results/{study.study}/{name}/evaluate/overview.json" for name in study.experiments],
        "plots": [
            {f"results/{study.study}/{name}/figures/{figure}.svg": None}
            for name in study.experiments
            for figure in ("figure-2", "trade-offs")
        ],
    }


def _stage(targets: Iterable[str], *, outs: Iterable[str], deps: Iterable[str], keys: Iterable[str] = ()) -> Stage:
    stage: Stage = {"cmd": " ".join(["snakemake --cores all", *targets]), "deps": list(deps)}
    if params := list(keys):
        stage["params"] = [{STUDY_FILE: params}]
    return stage | {"outs": list(outs)}


def _provenance() -> Stage:
    """Lists the code behind each rule; runs whenever code or study changed, and refuses a study of another shape."""
    folder = f"{RESULTS}/provenance"
    return _stage(["provenance"], outs=[folder], deps=[STUDY_FILE, "src/privrad"])


def _code(*rules: str) -> list[str]:
    return [f"{RESULTS}/provenance/{rule}.sha256" for rule in rules]


def _cohort(name: str, role: Role, cohort: Cohort, experiment: Experiment) -> Stages:
    """From raw files to shards, copies taken out and split."""
    folder, keys = f"{RESULTS}/{name}", f"experiments.{name}.cohorts.{role}"
    drawn = f"{folder}/phantom/{role}"
    if cohort.phantom is not None:
        yield (
            f"phantom-{name}-{role}",
            _stage([drawn], outs=[drawn], deps=_code("phantom"), keys=["seed", f"{keys}.phantom", f"{keys}.layout"]),
        )
    raw = [drawn] if cohort.phantom is not None else _raw(cohort)
    manifest = f"{folder}/ingest/{role}/manifest.parquet"
    read = [f"{keys}.{key}" for key in sorted(cohort.model_fields_set - {"budget"})]
    shared = ["seed", f"experiments.{name}.findings"]
    yield (
        f"cohort-{name}-{role}",
        _stage(
            [manifest],
            outs=[f"{folder}/ingest/{role}"],
            deps=[*_code("ingest"), *raw],
            keys=[*shared, *read],
        ),
    )
    shards = [f"{folder}/prepare/{role}/shard-{shard:03d}.safetensors" for shard in range(experiment.image.shards)]
    yield (
        f"prepare-{name}-{role}",
        _stage(
            shards,
            outs=[f"{folder}/prepare/{role}"],
            deps=[*_code("prepare"), manifest, *raw],
            keys=[f"{keys}.sensitivity", *_given(experiment, name, {"image": [], "modality": []})],
        ),
    )
    beside = [f"{folder}/duplicates/public", f"{folder}/prepare/public"]
    yield (
        f"split-{name}-{role}",
        _stage(
            [f"{folder}/split/{role}/assignment.parquet"],
            outs=[f"{folder}/duplicates/{role}", f"{folder}/split/{role}"],
            deps=[
                *_code("duplicates", "split"),
                *(manifest, f"{folder}/prepare/{role}"),
                *(beside if role == "private" and "public" in experiment.roles else []),
            ],
            keys=[*shared, *_given(experiment, name, {"split": [role]})],
        ),
    )


def tables(cohort: Cohort) -> list[str]:
    """The tables that a cohort which is there already is read from."""
    if cohort.root is None:
        return []
    named = [cohort.root / cohort.columns["table"]] if "table" in cohort.columns else []
    listed = [path for pattern in TABLES for path in cohort.root.glob(pattern)]
    return sorted({str(path) for path in [*listed, *named] if not path.name.startswith(".")})


def _raw(cohort: Cohort) -> list[str]:
    """The folder of a cohort within the project; of one elsewhere its tables, since hashing all images takes hours."""
    assert cohort.root is not None
    inside = not cohort.root.is_absolute() and ".." not in cohort.root.parts
    return [str(cohort.root)] if inside else tables(cohort)


def _given(experiment: Experiment, name: str, blocks: Mapping[str, list[str]]) -> list[str]:
    """The keys of these blocks as far as the study file gives them; an empty list stands for the whole block."""
    keys = []
    for block, parts in blocks.items():
        if block not in experiment.model_fields_set:
            continue
        within = getattr(experiment, block)
        keys += [f"experiments.{name}.{block}"] if not parts else []
        keys += [f"experiments.{name}.{block}.{part}" for part in parts if part in within.model_fields_set]
    return keys


def _of_data(name: str, role: Role) -> list[str]:
    folder = f"{RESULTS}/{name}"
    listed = [f"{folder}/duplicates/{role}/manifest.parquet", f"{folder}/split/{role}/assignment.parquet"]
    return [f"{folder}/prepare/{role}", *listed]


def _pretrain(name: str, experiment: Experiment) -> Stage:
    folder = f"{RESULTS}/{name}/pretrain/${{item.activation}}"
    stage = _stage(
        [f"{folder}/model.safetensors"],
        outs=[folder],
        deps=[*_code("pretrain"), *_of_data(name, "public")],
        keys=["seed", *_given(experiment, name, {"findings": [], "model": [], "pretraining": []})],
    )
    return {"matrix": {"activation": list(experiment.activations)}} | stage


def _reserve(study: Study) -> Stage:
    """One stage for all trainings: what it writes of each changes only where that training has to run again."""
    deps, keys, outs = _code("reserve"), ["seed"], []
    for name, experiment in study.experiments.items():
        deps += _of_data(name, "private")
        deps += [f"{RESULTS}/{name}/pretrain"] if experiment.pretraining is not None else []
        deps += _of_data(name, "public")[1:] if experiment.training.positive_weights == "public" else []
        blocks = ("findings", "model", "budgets", "seeds", "privacy", "training")
        keys += _given(experiment, name, {block: [] for block in blocks})
        outs.append(f"{RESULTS}/{name}/reserve")
    return _stage(["reservations"], outs=outs, deps=deps, keys=keys)


def _runs(name: str, experiment: Experiment) -> Stages:
    """The model and the predictions of every arm and seed."""
    given = "seeds" in experiment.model_fields_set
    seeds: Any = f"${{experiments.{name}.seeds}}" if given else list(experiment.seeds)
    budgets = f"${{experiments.{name}.budgets}}"
    yield from _run(name, "", {"budget": budgets, "seed": seeds}, "eps-${item.budget}/seed-${item.seed}")
    if math.inf in experiment.budgets:
        yield from _run(name, "-matched", {"seed": seeds}, "eps-inf-matched/seed-${item.seed}")
    yield from _run(name, "-untrained", {"seed": list(experiment.seeds[:1])}, "eps-0/seed-${item.seed}")


def _run(name: str, kind: str, matrix: Mapping[str, Any], run: str) -> Stages:
    folder = f"{RESULTS}/{name}"
    model, scores = f"{folder}/finetune/{run}", f"{folder}/predict/{run}"
    reservation = f"{folder}/reserve/{run}/reservation.json"
    weights = f"{model}/model.safetensors"
    given = [*_code("predict"), weights, *_of_data(name, "private")]
    yield f"finetune-{name}{kind}", {"matrix": matrix} | _stage([weights], outs=[model], deps=[reservation])
    yield (
        f"predict-{name}{kind}",
        {"matrix": matrix} | _stage([f"{scores}/predictions.parquet"], outs=[scores], deps=given),
    )


def _evaluate(name: str, experiment: Experiment) -> Stage:
    folder = f"{RESULTS}/{name}"
    return _stage(
        [f"{folder}/evaluate/summary.json"],
        outs=[f"{folder}/evaluate"],
        deps=[*_code("evaluate"), f"{folder}/predict"],
        keys=["seed", *_given(experiment, name, {"findings": [], "evaluation": []})],
    )


def _report(study: Study) -> Stage:
    """Runs all that is left: the figures, the report, and its twin that DVC must not know."""
    deps, outs = _code("figures", "report"), []
    keys = ["study", "seed"]
    for name, experiment in study.experiments.items():
        folder = f"{RESULTS}/{name}"
        made = ["ingest", "duplicates", "split", "prepare", "finetune", "evaluate"]
        made += ["pretrain"] if experiment.pretraining is not None else []
        deps += [f"{folder}/{part}" for part in made]
        keys += [f"experiments.{name}.{key}" for key in sorted(experiment.model_fields_set - {"spend"})]
        outs += [f"{folder}/{part}" for part in ("figures", "cards", "checklists")]
    deps += ["resources/published"] if any(experiment.compare for experiment in study.experiments.values()) else []
    return _stage(["all"], outs=[*outs, f"{RESULTS}/report.html"], deps=deps, keys=keys)


def _spelt(name: str, experiment: Experiment) -> None:
    """ConfigError where DVC would write a budget otherwise than the arm's name does."""
    for budget in experiment.budgets:
        if f"{budget}" not in (f"{budget:g}", f"{budget:g}.0"):
            raise ConfigError(
                f"experiments.{name}.budgets: {budget} has more than six digits, and its runs are named "
                f"eps-{budget:g}; round it to six"
            )
