"""Missed cases: which errors are the most confident, and what the internal page shows of them."""

import base64
import html
import math
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from privrad.report import account, missed
from privrad.report.account import Account, ReportError
from privrad.report.number import joined
from tests.report import tree

ROWS = (
    # image, patient, finding, label, score, split
    ("i1", "p1", "a", 1, 0.30, "test"),
    ("i2", "p2", "a", 1, 0.10, "test"),
    ("i3", "p2", "a", 1, 0.05, "test"),
    ("i4", "p3", "a", 1, 0.50, "test"),  # at the threshold: called
    ("i5", "p4", "a", 0, 0.90, "test"),
    ("i6", "p5", "a", 0, 0.50, "test"),
    ("i7", "p6", "a", 0, 0.49, "test"),
    ("i8", "p7", "a", 1, 0.01, "validation"),
    ("i9", "p1", "b", 0, 0.70, "test"),
    ("i0", "p2", "b", 0, 0.70, "test"),
)


def predictions() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=["image_id", "patient_id", "finding", "label", "score", "split"])


def found(count: int, **thresholds: float) -> list[tuple[str, str, bool]]:
    held = missed.cases(predictions(), thresholds=thresholds, count=count)
    return [(case.finding, case.image_id, case.overlooked) for case in held]


def test_the_most_confident_errors_come_first_one_of_each_patient() -> None:
    assert found(9, a=0.5) == [("a", "i3", True), ("a", "i1", True), ("a", "i5", False), ("a", "i6", False)]


def test_no_more_than_asked_for() -> None:
    assert found(1, a=0.5) == [("a", "i3", True), ("a", "i5", False)]


def test_equal_scores_come_in_the_order_of_images_and_findings_in_theirs() -> None:
    assert found(2, b=0.6, a=0.02) == [
        *(("b", "i0", False), ("b", "i9", False)),
        *(("a", "i5", False), ("a", "i6", False)),
    ]


def test_without_a_threshold_nothing_is_called() -> None:
    assert found(9, a=math.nan) == []


def test_the_threshold_and_score_are_kept() -> None:
    case = missed.cases(predictions(), thresholds={"a": 0.5}, count=1)[0]
    assert (case.score, case.threshold, case.label) == (0.05, 0.5, 1)


@pytest.fixture
def built(tmp_path: Path) -> tree.Tree:
    """A private cohort whose models miss the first image and call the second, for cardiomegaly."""
    made = tree.build(tmp_path, private=True, budgets="0.29, 7.89, inf")
    manifest = pd.read_parquet(made.results / "chest" / "duplicates" / "private" / "manifest.parquet")
    rows = pd.DataFrame({"image_id": manifest["image_id"], "patient_id": manifest["patient_id"], "split": "test"})
    rows = rows.assign(finding="cardiomegaly", label=manifest["cardiomegaly"], score=0.1)
    rows.loc[rows["label"] == 0, "score"] = np.linspace(0.1, 0.39, (rows["label"] == 0).sum())
    rows.loc[1, "score"] = 0.8
    for arm in ("eps-7.89", "eps-inf"):
        folder = made.results / "chest" / "predict" / arm / "seed-0"
        folder.mkdir(parents=True)
        rows.to_parquet(folder / "predictions.parquet")
    return made


def read(built: tree.Tree) -> Account:
    experiment = built.study.experiments["chest"]
    return account.read("chest", experiment, results=built.results, private=built.private, roots=built.roots)


def folder(built: tree.Tree) -> Path:
    return built.results / "chest" / "predict"


def test_the_loosest_private_arm_and_the_one_without_privacy_are_shown(built: tree.Tree) -> None:
    assert missed.arms(read(built)) == ["eps-7.89", "eps-inf"]


def test_thresholds_are_those_that_the_study_calls_by(built: tree.Tree) -> None:
    held = read(built)
    rows = held.measured.thresholds
    rows = rows[(rows["arm"] == "eps-7.89") & (rows["rule"] == "youden")]
    assert missed.thresholds(held, "eps-7.89", seed=0) == dict(zip(rows["finding"], rows["threshold"], strict=True))


def test_a_case_shows_its_picture_and_leads_to_its_file(built: tree.Tree) -> None:
    held = read(built)
    manifest = pd.read_parquet(built.results / "chest" / "duplicates" / "private" / "manifest.parquet")
    overlooked, called = missed.of(held, predictions=folder(built), count=1)[:2]
    truth = manifest[manifest["cardiomegaly"] == 1].iloc[0]
    assert joined(overlooked.caption) == "Cardiomegaly overlooked"
    assert joined(called.caption) == "Cardiomegaly called, not there"
    told = [html.unescape(joined(fact).striptags()).replace("\N{NO-BREAK SPACE}", " ") for fact in overlooked.facts]
    assert told[0] == "ε = 7.89: score 0.100, threshold 0.400"
    assert told[1] == "Female, 61 years, PA."
    assert told[2].startswith("Labelled with ")
    assert "cardiomegaly" in told[2]
    assert told[3] == f"Image {truth['image_id']}"
    row = list(manifest["image_id"]).index(truth["image_id"])
    assert told[4] == f"File image-{row}.png"
    encoded = base64.b64decode(overlooked.picture.removeprefix("data:image/png;base64,"))
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    cohort = next(cohort for cohort in held.cohorts if cohort.role == "private")
    expected = cohort.prepared.take([row])[0].astype(np.float64)
    expected = (expected - expected.min()) * 255 / (expected.max() - expected.min())
    assert picture is not None
    np.testing.assert_allclose(picture, expected, atol=0.51)


def test_text_of_a_case_is_escaped(built: tree.Tree) -> None:
    path = built.private / "chest" / "locate" / "private" / "paths.parquet"
    pd.read_parquet(path).assign(path="<img src=x>/a&b.dcm").to_parquet(path)
    case = missed.of(read(built), predictions=folder(built), count=1)[0]
    assert joined(case.facts[4]) == "File <code>&lt;img src=x&gt;/a&amp;b.dcm</code>"


def test_what_is_not_known_is_not_said(built: tree.Tree) -> None:
    path = built.results / "chest" / "duplicates" / "private" / "manifest.parquet"
    unknown = pd.read_parquet(path).assign(sex="U", age=math.nan, view="")
    unknown.assign(bedside=pd.array([pd.NA] * len(unknown), dtype="boolean")).to_parquet(path)
    case = missed.of(read(built), predictions=folder(built), count=1)[0]
    assert joined(case.facts[1]) == "Nothing is known of the patient."


def test_bedside_is_said_where_it_is_known(built: tree.Tree) -> None:
    path = built.results / "chest" / "duplicates" / "private" / "manifest.parquet"
    manifest = pd.read_parquet(path)
    manifest.assign(bedside=pd.array([True] * len(manifest), dtype="boolean")).to_parquet(path)
    case = missed.of(read(built), predictions=folder(built), count=1)[0]
    assert joined(case.facts[1]).striptags() == "Female, 61 years, PA, bedside."


def test_missing_predictions_are_named(built: tree.Tree) -> None:
    (folder(built) / "eps-inf" / "seed-0" / "predictions.parquet").unlink()
    with pytest.raises(ReportError, match=r"eps-inf/seed-0/predictions\.parquet is missing; make it with `snakemake`"):
        missed.of(read(built), predictions=folder(built))


def test_damaged_predictions_are_named(built: tree.Tree) -> None:
    (folder(built) / "eps-inf" / "seed-0" / "predictions.parquet").write_bytes(b"no table")
    with pytest.raises(
        ReportError, match=r"predictions\.parquet cannot be read \(.*\); delete it and run snakemake again"
    ):
        missed.of(read(built), predictions=folder(built))


def test_an_image_that_the_cohort_lacks_is_named(built: tree.Tree) -> None:
    path = folder(built) / "eps-7.89" / "seed-0" / "predictions.parquet"
    pd.read_parquet(path).assign(image_id="ff").to_parquet(path)
    with pytest.raises(ReportError, match=r"has image ff, which the cohort lacks; run snakemake again"):
        missed.of(read(built), predictions=folder(built))
