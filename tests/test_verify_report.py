"""What an evaluation and a report state is recomputed: honest ones hold, and any number that is changed shows."""

from __future__ import annotations

import copy
import csv
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privrad import config, verify
from privrad.evaluation import evaluate
from privrad.evaluation.settings import Settings
from privrad.verify import drawn, experiment, measured, report, shown, tables
from privrad.verify.check import Check

FINDINGS = ("edema", "nodule")
ARMS = {"eps-1": 1.0, "eps-4": 4.0, "eps-inf-matched": np.inf, "eps-inf": np.inf}
SETTINGS = Settings(redraws=60, margin=0.05, age_bands=(0, 50, 100), seed=7)
PATIENTS = 90


def predictions(arm: str) -> pd.DataFrame:
    """A model's scores of test and validation images: up to three a patient, better the larger epsilon, some tied."""
    random = np.random.default_rng([len(arm), sum(map(ord, arm))])
    cases = np.random.default_rng(3)
    rows = []
    for split in ("test", "validation"):
        for patient in range(PATIENTS):
            sex, age = cases.choice(["F", "M"]), float(cases.integers(20, 80))
            ill = cases.random(len(FINDINGS)) < 0.4
            for image in range(cases.integers(1, 4)):
                for finding, present in zip(FINDINGS, ill, strict=True):
                    label = int(present and cases.random() < 0.9)
                    score = 1 / (1 + np.exp(-(label * (1 + min(ARMS[arm], 5) / 5) - 0.5 + random.normal())))
                    rows.append(
                        {
                            "image_id": f"{split}-{patient}-{image}",
                            "patient_id": f"{split}-{patient}",
                            "finding": finding,
                        }
                        | {"label": label, "score": round(float(score), 2), "split": split, "sex": sex, "age": age}
                        | {"arm": arm, "epsilon": ARMS[arm], "seed": 0}
                    )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a study with one evaluated experiment."""
    folder = tmp_path_factory.mktemp("results") / "study" / "chest"
    paths = []
    for arm in ARMS:
        paths.append(folder / "predict" / arm / "seed-0" / "predictions.parquet")
        paths[-1].parent.mkdir(parents=True)
        predictions(arm).to_parquet(paths[-1], index=False)
    evaluate.run(paths, settings=SETTINGS, out=folder / "evaluate")
    return folder.parent


@pytest.fixture(scope="module")
def recomputed(honest: Path) -> experiment.Experiment:
    """All that is recomputed, once."""
    found = experiment.read(honest / "chest" / "evaluate", name="chest/evaluate", everything=True)
    assert found.modelled.metrics
    assert found.validated
    return found


@pytest.fixture(scope="module")
def curves(recomputed: experiment.Experiment) -> dict[str, dict[Any, Any]]:
    """The rows of what is drawn, by file, once."""
    found: dict[str, dict[Any, Any]] = {file: {} for file in drawn.KEYS}
    asked: dict[str, Any] = {"weights": recomputed.weights, "confidence": 0.95, "bands": True}
    for run, finding in recomputed.test.scored:
        for file, key, columns in drawn.of(recomputed.test, run, finding, **asked):
            found[file][key] = columns
    return found


def faults(checks: Iterator[Check]) -> list[Check]:
    return [check for check in checks if not check.holds]


def test_an_honest_evaluation_holds(honest: Path) -> None:
    checks = list(measured.checks(honest / "chest" / "evaluate", name="chest/evaluate", everything=True))
    assert faults(iter(checks)) == []
    files = {path.name for path in (honest / "chest" / "evaluate").iterdir()}
    assert {check.file.removeprefix("chest/evaluate/") for check in checks} == files
    rows = sum(check.count for check in checks if check.what == "rows")
    assert rows == sum(len(path.read_text().splitlines()) - 1 for path in (honest / "chest" / "evaluate").glob("*.csv"))


def changed(text: str) -> str:
    """Something else of the same kind, as close as a forger would choose it."""
    if text == "inf":
        return "8.0"
    if text in ("True", "False"):
        return "False" if text == "True" else "True"
    try:
        value = float(text)
    except ValueError:
        return f"x{text}"
    if text.lstrip("-").isdigit():
        return str(int(text) + 1)
    return repr(value + 1e-3)


NOTES = ("metrics.csv", "fairness.csv", "thresholds.csv")
"""Where notes are recomputed, too."""
TABLES = sorted({name for name in measured.FILES if name.endswith(".csv") and "/" not in name} | set(drawn.KEYS))


@pytest.mark.parametrize("name", TABLES)
def test_every_number_of_a_table_that_is_changed_shows(
    name: str, recomputed: experiment.Experiment, curves: dict[str, dict[Any, Any]], tmp_path: Path
) -> None:
    """One cell after the other in some rows, a row that is lost, and one that stands twice."""
    with (recomputed.folder / name).open(newline="") as stream:
        head, *rows = list(csv.reader(stream))

    def found(changed_rows: list[list[str]]) -> list[Check]:
        with (tmp_path / name).open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([head, *changed_rows])
        forged = copy.copy(recomputed)
        vars(forged).update(folder=tmp_path, held={})
        return faults(_compared(forged, name, curves))

    unseen = []
    for row in sorted({0, len(rows) // 3, len(rows) // 2, len(rows) - 1}):
        for column, text in enumerate(rows[row]):
            if head[column] == "about" or (head[column] == "note" and name not in NOTES):
                continue
            cells = [*rows[row][:column], changed(text) if text else "0.5", *rows[row][column + 1 :]]
            if not found([*rows[:row], cells, *rows[row + 1 :]]):
                unseen.append((row, head[column], text))
    assert unseen == []
    assert found(rows[1:])
    assert found([*rows, rows[0]])
    assert not found(rows)


def _compared(forged: experiment.Experiment, name: str, curves: dict[str, dict[Any, Any]]) -> Iterator[Check]:
    if name not in curves:
        yield from measured.FILES[name](forged)
        return
    yield from tables.held(forged.table(name, drawn.KEYS[name]), curves[name])


def test_every_number_of_the_summary_that_is_changed_shows(honest: Path, recomputed: experiment.Experiment) -> None:
    said = json.loads((honest / "chest" / "evaluate" / "summary.json").read_text())
    assert said["models"][0]["worst_group"] is not None
    for path, value in _leaves(said):
        if path[0] in ("redraws", "resample", "seed", "confidence", "intervals", "threshold", "minimum_cell"):
            continue
        if path[0] in ("margin", "specificity", "fairness_difference"):
            continue
        forged = json.loads(json.dumps(said))
        node = forged
        for part in path[:-1]:
            node = node[part]
        node[path[-1]] = value + 1 if isinstance(value, int | float) else f"x{value}"
        changed_copy = copy.copy(recomputed)
        vars(changed_copy).update(settings=forged)
        assert faults(measured.FILES["summary.json"](changed_copy)), path


def test_every_number_of_the_overview_that_is_changed_shows(
    honest: Path, recomputed: experiment.Experiment, tmp_path: Path
) -> None:
    said = json.loads((honest / "chest" / "evaluate" / "overview.json").read_text())
    leaves = list(_leaves(said))
    assert {path[-1] for path, _ in leaves} == {"auroc", "auroc_low", "auroc_high", "worst_group_auroc"}
    for (arm, seed, number), value in leaves:
        forged = json.loads(json.dumps(said))
        forged[arm][seed][number] = value + 1e-6
        (tmp_path / "overview.json").write_text(json.dumps(forged))
        changed_copy = copy.copy(recomputed)
        vars(changed_copy).update(folder=tmp_path)
        assert len(faults(measured.FILES["overview.json"](changed_copy))) == 1, (arm, seed, number)


def _leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, held in value.items():
            yield from _leaves(held, (*at, key))
    elif isinstance(value, list):
        for place, held in enumerate(value):
            yield from _leaves(held, (*at, place))
    elif value is not None:
        yield at, value


@pytest.mark.parametrize(("ours", "holds"), [(None, True), (0.9, False)])
def test_what_stands_beside_published_results_is_ours(
    ours: float | None, holds: bool, recomputed: experiment.Experiment, tmp_path: Path
) -> None:
    value = recomputed.modelled.metrics["eps-1", "0", "mean", "sex", "F", "auroc", ""]["value"]
    said = value if ours is None else ours
    (tmp_path / "figures").mkdir()
    rows = [f"uka_cxr,auroc,1.0,female,F,1,{said!r},,0.8,{said - 0.8!r}", "uka_cxr,auroc,1.0,male,M,1,,,0.8,"]
    head = "dataset,metric,epsilon,group,ours_group,trainings,ours,ours_training_sd,theirs,difference"
    table = "\n".join([head, *rows, ""])
    (tmp_path / "figures" / "published.csv").write_text(table)
    beside = copy.copy(recomputed)
    vars(beside).update(folder=tmp_path / "evaluate")
    assert (faults(measured.FILES["../figures/published.csv"](beside)) == []) is holds


@pytest.fixture(scope="module")
def quartered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evaluation of a study of one finding and two trainings an arm, by quartiles of age."""
    folder = tmp_path_factory.mktemp("quartered") / "pancreas"
    paths = []
    for arm in ("eps-1", "eps-inf"):
        for seed in (0, 1):
            paths.append(folder / "predict" / arm / f"seed-{seed}" / "predictions.parquet")
            paths[-1].parent.mkdir(parents=True)
            table = predictions(arm)
            table = table[table["finding"] == "nodule"].assign(seed=seed, age=lambda held: held["age"] + 0.5)
            noise = np.random.default_rng(seed).uniform(0, 0.01, len(table))
            table.assign(score=(table["score"] + noise).clip(0, 1)).to_parquet(paths[-1], index=False)
    evaluate.run(paths, settings=replace(SETTINGS, age_bands="quartiles"), out=folder / "evaluate")
    return folder / "evaluate"


@pytest.fixture(scope="module")
def quarters(quartered: Path) -> experiment.Experiment:
    """What is recomputed of it, once."""
    found = experiment.read(quartered, name="evaluate", everything=False)
    assert found.modelled.metrics
    return found


def test_quartiles_of_age_are_recomputed(quartered: Path) -> None:
    asked = config.Evaluation(redraws=60, margin=0.05, age_bands="quartiles")
    checks = list(measured.checks(quartered, name="evaluate", settings=asked, seed=7, everything=True))
    assert faults(iter(checks)) == []
    ages = predictions("eps-1").query("split == 'test'").drop_duplicates("patient_id")["age"]
    inner = [np.quantile(ages, share, method="inverted_cdf") + 1 for share in (0.25, 0.5, 0.75)]
    assert experiment.read(quartered, name="evaluate", everything=False).age_edges == [0, *inner, np.inf]


def test_other_edges_of_age_show(quartered: Path, tmp_path: Path) -> None:
    shutil.copytree(quartered.parent, tmp_path / "pancreas")
    folder = tmp_path / "pancreas" / "evaluate"
    said = json.loads((folder / "summary.json").read_text())
    edge = said["age_edges"][1]
    (folder / "summary.json").write_text(json.dumps(said | {"age_edges": [0.0, edge + 1, *said["age_edges"][2:]]}))
    found = faults(measured.FILES["summary.json"](experiment.read(folder, name="evaluate", everything=True)))
    assert [check.what for check in found] == ["age_edges"]
    for table in folder.glob("*.csv"):
        table.write_text(table.read_text().replace(f"[0,{edge:g})", f"[0,{edge + 1:g})"))
    forged = experiment.read(folder, name="evaluate", everything=True)
    assert faults(measured.FILES["metrics.csv"](forged))


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("", ""),
        ("ours_group", "[0,5)"),
        ("trainings", "1"),
        ("ours", "0.5"),
        ("ours_training_sd", "0.5"),
        ("difference", "0.1"),
    ],
)
def test_quarters_stand_beside_the_published_ones_by_their_order(
    column: str, said: str, quarters: experiment.Experiment, quartered: Path, tmp_path: Path
) -> None:
    one = quarters
    bands = [f"[{low:g},{high:g})" for low, high in itertools.pairwise(one.age_edges)]
    metrics = pd.read_csv(quartered / "metrics.csv").query("arm == 'eps-1' and finding == 'mean' and metric == 'auroc'")
    rows: list[dict[str, Any]] = []
    for group, band in (("total", "all"), ("age_q1", bands[0]), ("age_q4", bands[3])):
        values = metrics.loc[metrics["group"] == band, "value"]
        assert len(values) == 2
        rows.append({"dataset": "pdac", "metric": "auroc", "epsilon": 1.0, "group": group, "ours_group": band})
        rows[-1] |= {"trainings": 2, "ours": values.mean(), "ours_training_sd": values.std(), "theirs": 0.8}
        rows[-1]["difference"] = rows[-1]["ours"] - 0.8
    rows[1] |= {column: said} if column else {}
    (tmp_path / "figures").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "figures" / "published.csv", index=False)
    beside = copy.copy(one)
    vars(beside).update(folder=tmp_path / "evaluate")
    assert (faults(measured.FILES["../figures/published.csv"](beside)) == []) is (not column)


def test_settings_are_held_against_the_study_file(honest: Path) -> None:
    asked = config.Evaluation(redraws=60, margin=0.05, age_bands=(0, 50, 100))
    folder = honest / "chest" / "evaluate"
    checks = [
        next(measured.checks(folder, name="evaluate", settings=each, seed=7))
        for each in (asked, asked.model_copy(update={"margin": 0.1}))
    ]
    assert [check.holds for check in checks] == [True, False]
    assert "margin" in checks[1].found


def test_predictions_that_are_not_there_are_a_fault(honest: Path, tmp_path: Path) -> None:
    shutil.copytree(honest, tmp_path / "study")
    shutil.rmtree(tmp_path / "study" / "chest" / "predict" / "eps-1")
    (fault,) = measured.checks(tmp_path / "study" / "chest" / "evaluate", name="chest/evaluate")
    assert not fault.holds
    assert "eps-1/seed-0/predictions.parquet" in fault.found


TABLE = "chest/evaluate/metrics.csv"
KEYS = "seed=0;finding=mean;group_by=all;group=all;metric=auroc;rule="
NUMBERS = """
<p>Mean <data class="n" data-file="{table}" data-row="arm=eps-1;{keys}" data-column="value" data-form="auroc"
data-kind="public">{value}</data> in <span data-said>30 to 59 years</span>, from <code>line 3</code></p>
<table data-file="{table}" data-form="auroc" data-kind="public"><tr data-row="arm=eps-4"><td data-row="{keys}">
<data data-column="low">{low}</data> to <data data-column="high">{high}</data>
<data data-column="patients" data-form="count">{patients}</data></td></tr></table>
<p data-file="chest/evaluate/summary.json" data-form="number"><data data-column="/images">{images}</data></p>
<table><tr><td><code>{table}</code></td><td><code>{hash}</code></td></tr>
<tr><td><code>chest/evaluate/summary.json</code></td><td><code>{summary}</code></td></tr></table>
"""


@pytest.fixture
def page(honest: Path, tmp_path: Path) -> Callable[..., list[Check]]:
    """Checks a page whose numbers are those of the honest study, but for what is given."""
    rows = pd.read_csv(honest / TABLE, dtype=str, keep_default_na=False)
    means = rows[(rows["finding"] == "mean") & (rows["group_by"] == "all") & (rows["metric"] == "auroc")]
    held: dict[Any, dict[Any, Any]] = means.set_index("arm").to_dict()
    summary = (honest / "chest/evaluate/summary.json").read_bytes()
    said = {"table": TABLE, "keys": KEYS, "value": f"{float(held['value']['eps-1']):.3f}"}
    said |= {name: f"{float(held[name]['eps-4']):.3f}" for name in ("low", "high")}
    said |= {"patients": held["patients"]["eps-4"], "images": str(json.loads(summary)["images"])}
    said |= {"hash": hashlib.sha256((honest / TABLE).read_bytes()).hexdigest()}
    said |= {"summary": hashlib.sha256(summary).hexdigest()}

    def checked(more: str = "", **changes: str) -> list[Check]:
        path = tmp_path / "report.html"
        path.write_text(NUMBERS.format(**(said | changes)) + more, encoding="utf-8")
        return faults(report.checks(honest, page=path, name="report.html", study=None))

    checked.said = said  # type: ignore[attr-defined]
    return checked


def test_a_page_whose_numbers_are_those_of_its_files_holds(page: Callable[..., list[Check]]) -> None:
    assert page() == []


@pytest.mark.parametrize("name", ["value", "low", "high", "patients", "images", "hash", "summary"])
def test_a_number_of_the_page_that_is_changed_shows(name: str, page: Callable[..., list[Check]]) -> None:
    said: str = page.said[name]  # type: ignore[attr-defined]
    (fault,) = page(**{name: said[:-1] + ("1" if said[-1] != "1" else "2")})
    assert not fault.holds
    assert said in (fault.found, fault.said) or name in ("hash", "summary")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("<p>An AUROC of 0.9</p>", "no file named"),
        ("<p>ε² and ½</p>", "no file named"),
        ('<p aria-label="an AUROC of 0.123">good</p>', "nowhere in the text"),
        ("<p><data>0.5</data></p>", "names no file"),
        ('<p><data data-file="chest/x.csv" data-column="value">1</data></p>', "is not there"),
        ('<p><data data-file="../x.csv" data-column="value">1</data></p>', "is not there"),
        (f'<p data-file="{TABLE}"><data data-row="arm=eps-9" data-column="value">1</data></p>', "no row"),
        (f'<p data-file="{TABLE}"><data data-row="arm=eps-1" data-column="value">1</data></p>', "rows of"),
        (f'<p data-file="{TABLE}"><data data-row="arm=eps-1" data-column="worth">1</data></p>', "no column worth"),
        ('<p data-file="study"><data data-column="/seed" data-form="number">1</data></p>', "--study"),
        ('<p data-file="chest/evaluate/summary.json"><data data-column="/x">1</data></p>', "nothing at /x"),
    ],
)
def test_a_number_without_a_place_is_a_fault(more: str, told: str, page: Callable[..., list[Check]]) -> None:
    found = page(more=more)
    assert any(told in str(fault.found) for fault in found)


def test_the_files_that_numbers_name_have_hashes(page: Callable[..., list[Check]]) -> None:
    number = '<data data-column="trainings" data-row="arm=eps-1;finding=mean">1</data>'
    more = f'<p data-file="chest/evaluate/seeds.csv" data-form="count">{number}</p>'
    (fault,) = page(more=more)
    assert fault.what == "SHA-256 of chest/evaluate/seeds.csv"


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.8126, "auroc", "0.813"),
        (-0.0312, "auroc", "\N{MINUS SIGN}0.031"),
        (0.0312, "signed", "+0.031"),
        (-0.0312, "size", "0.031"),
        (0.95, "percent", "95\N{NO-BREAK SPACE}%"),
        (0.0004, "p", "<0.001"),
        (39809, "count", "39\N{NARROW NO-BREAK SPACE}809"),
        (6e-06, "number", "6 × 10⁻⁶"),
        (float("inf"), "number", "∞"),
        (None, "number", "–"),
        (["a", "b"], "length", "2"),
        ("0123456789abcdef", "hash", "0123456789ab"),
    ],
)
def test_numbers_are_written(value: Any, form: str, text: str) -> None:
    assert shown.written(value, form=form) == text


@pytest.mark.parametrize(
    ("text", "value", "form", "hides", "may"),
    [
        ("<10", 7, "count", True, True),
        ("<10", 10, "count", True, False),
        ("<20", 7, "count", True, False),
        ("<10", 7, "count", False, False),
        ("> 0.90", 0.93, "auroc", True, True),
        ("> 0.90", 0.89, "auroc", True, False),
        ("< 0.10", 0.07, "auroc", True, True),
        ("withheld", 12, "count", True, True),
        ("withheld", 12, "count", False, False),
        ("too few", 0.8, "auroc", False, True),
        ("not estimable", None, "auroc", False, True),
        ("not estimable", 0.8, "auroc", True, False),
        ("0.8", 0.9, "auroc", True, False),
    ],
)
def test_what_may_stand_in_a_numbers_place(text: str, value: Any, form: str, hides: bool, may: bool) -> None:
    assert shown.stands_for(text, value, form=form, minimum=10, hides=hides) is may


def test_the_table_tells_rows_by_file() -> None:
    checks = [
        Check(what="rows", file="a.csv", said=3, found=3, holds=True, count=3120),
        *(Check(what=f"row={place}", file="b.csv", said="1", found="2", holds=False) for place in range(30)),
    ]
    checks.append(Check(what="x", file="b.csv", said=0.5, found={"low": float("nan")}, holds=False))
    assert json.loads(json.dumps(verify.facts(checks), allow_nan=False))["checks"][-1]["found"] == {"low": None}
    checks.pop()
    text = verify.table(checks)
    assert "ok     a.csv: 3,120 of 3,120 hold" in text
    assert "FAULT  b.csv: 0 of 30 hold" in text
    assert "and 10 more" in text
    assert text.endswith("30 of 3,150 statements do not hold.")
