"""The evaluation's three files, on predictions of known quality."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from privrad.evaluation import evaluate

BANDS = (0, 30, 60, 70, 80, 100)
FINDINGS = ("effusion", "atelectasis")
Tables = tuple[pd.DataFrame, pd.DataFrame]
Measured = tuple[pd.DataFrame, pd.DataFrame, Path]


def predicted(arm: str, *, ease: float, seed: int = 0, patients: int = 120) -> pd.DataFrame:
    """Two images a patient; the scores' noise is the same for all arms and images of a patient."""
    rng = np.random.default_rng(1)
    of = np.repeat(np.arange(patients), 2)
    sex, age = np.where(rng.random(patients) < 0.5, "F", "M")[of], rng.uniform(20, 95, patients)[of]
    parts = []
    for finding in FINDINGS:
        labels, noise = (rng.random(patients) < 0.4)[of], rng.normal(size=patients)[of]
        scores = 1 / (1 + np.exp(-(noise + ease * labels + 0.1 * rng.normal(size=of.size))))
        ids = {"image_id": [f"i{k:03d}" for k in range(of.size)], "patient_id": [f"p{k}" for k in of]}
        part = pd.DataFrame(ids).assign(finding=finding, label=labels.astype("int8"), score=scores, sex=sex, age=age)
        parts.append(part)
    epsilon = float(arm.removeprefix("eps-").removesuffix("-matched"))
    return pd.concat(parts).assign(arm=arm, epsilon=epsilon, seed=seed, split="test")


def run(folder: Path, *tables: pd.DataFrame, redraws: int = 100, resample: str = "patient") -> Tables:
    paths = []
    for order, one in enumerate(tables):
        paths.append(folder / f"{order}.parquet")
        one.to_parquet(paths[-1])
    evaluate.run(
        paths, redraws=redraws, resample=resample, confidence=0.95, age_bands=BANDS, minimum_cell=10,
        seed=3, out=folder / "evaluate",
    )  # fmt: skip
    metrics = pd.read_csv(folder / "evaluate" / "metrics.csv", keep_default_na=False, na_values=[""])
    return metrics, pd.read_csv(folder / "evaluate" / "differences.csv")


def only(table: pd.DataFrame, **values: object) -> pd.Series:
    for column, value in values.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("evaluate")
    arms = {"eps-0": 0.3, "eps-1": 1.0, "eps-inf-matched": 1.8, "eps-inf": 2.0}
    return (*run(folder, *(predicted(arm, ease=ease) for arm, ease in arms.items())), folder)


def test_columns_are_those_agreed(measured: Measured) -> None:
    metrics, differences, _ = measured
    assert list(metrics) == [
        *("arm", "epsilon", "seed", "finding", "group_by", "group", "metric", "value", "low", "high", "sd"),
        *("pooled_sd", "images", "patients", "positives", "degenerate", "note"),
    ]
    assert list(differences) == [
        *("arm", "reference", "epsilon", "seed", "finding", "group_by", "group", "metric"),
        *("value", "low", "high", "degenerate", "note"),
    ]


def test_values_are_scikit_learns_in_all_and_by_group(measured: Measured) -> None:
    metrics, _, _ = measured
    table = predicted("eps-1", ease=1.0)
    of_finding = table[table["finding"] == "effusion"]
    for group_by, group, part in (
        ("all", "all", of_finding),
        ("sex", "F", of_finding[of_finding["sex"] == "F"]),
        ("age", "[30,60)", of_finding[of_finding["age"].between(30, 60, inclusive="left")]),
    ):
        found = only(metrics, arm="eps-1", finding="effusion", group_by=group_by, group=group)
        assert found["value"] == pytest.approx(roc_auc_score(part["label"], part["score"]), abs=1e-12)
        assert (found["images"], found["patients"]) == (len(part), part["patient_id"].nunique())
        assert found["positives"] == part["label"].sum()


def test_the_mean_and_its_two_spreads(measured: Measured) -> None:
    """The law of the redraws is public: patients in order of id, drawn by integers from the seed's generator."""
    metrics, _, _ = measured
    table = predicted("eps-1", ease=1.0)
    wide = table.pivot_table(index="image_id", columns="finding", values=["score", "label"]).sort_index()
    images = table.drop_duplicates("image_id").sort_values("image_id")
    patients, of = np.unique(images["patient_id"], return_inverse=True)
    rng = np.random.default_rng(3)
    redraws = []
    for _ in range(100):
        weights = np.bincount(rng.integers(len(patients), size=len(patients)), minlength=len(patients))[of]
        redraws.append([roc_auc_score(wide["label"][f], wide["score"][f], sample_weight=weights) for f in FINDINGS])
    drawn = np.array(redraws)
    found = only(metrics, arm="eps-1", finding="mean", group_by="all")
    assert found["sd"] == pytest.approx(drawn.mean(axis=1).std(ddof=1), abs=1e-12)
    assert found["pooled_sd"] == pytest.approx(drawn.std(), abs=1e-12)
    bounds = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
    assert [found["low"], found["high"]] == pytest.approx(list(bounds), abs=1e-12)


def test_differences_are_reference_minus_arm_and_paired(measured: Measured) -> None:
    metrics, differences, _ = measured
    lost = only(differences, arm="eps-1", reference="eps-inf", finding="mean", group_by="all")
    values = {arm: only(metrics, arm=arm, finding="mean", group_by="all") for arm in ("eps-1", "eps-inf")}
    assert lost["value"] == pytest.approx(values["eps-inf"]["value"] - values["eps-1"]["value"])
    assert 0 < lost["low"] < lost["value"] < lost["high"]
    assert lost["high"] - lost["low"] < values["eps-1"]["high"] - values["eps-1"]["low"]
    assert set(differences["reference"]) == {"eps-inf", "eps-inf-matched"}
    assert not (differences["arm"] == differences["reference"]).any()


def test_equal_models_differ_by_nothing(tmp_path: Path) -> None:
    _, differences = run(tmp_path, predicted("eps-1", ease=1.0), predicted("eps-inf", ease=1.0))
    assert (differences[["value", "low", "high"]] == 0).all(axis=None)


def test_patients_not_images_are_resampled(tmp_path: Path) -> None:
    """Two alike images a patient: taking them for independent makes the interval narrower, by about the root of 2."""
    widths = {}
    for resample in ("patient", "image"):
        metrics, _ = run(tmp_path, predicted("eps-1", ease=1.0), resample=resample, redraws=300)
        found = only(metrics, finding="mean", group_by="all")
        widths[resample] = found["high"] - found["low"]
    assert 1.15 < widths["patient"] / widths["image"] < 1.7


def test_same_input_in_any_order_same_bytes(measured: Measured, tmp_path: Path) -> None:
    _, _, folder = measured
    arms = {"eps-inf": 2.0, "eps-1": 1.0, "eps-0": 0.3, "eps-inf-matched": 1.8}
    run(tmp_path, *(predicted(arm, ease=ease) for arm, ease in arms.items()))
    for name in ("metrics.csv", "differences.csv", "summary.json"):
        assert (tmp_path / "evaluate" / name).read_bytes() == (folder / "evaluate" / name).read_bytes()


def test_a_finding_without_positives_is_not_estimable(tmp_path: Path) -> None:
    table = predicted("eps-1", ease=1.0)
    table.loc[table["finding"] == "effusion", "label"] = 0
    metrics, _ = run(tmp_path, table)
    single = only(metrics, finding="effusion", group_by="all")
    assert np.isnan(single["value"])
    assert (single["note"], single["degenerate"]) == ("not estimable: no positive images", 100)
    mean = only(metrics, finding="mean", group_by="all")
    assert mean["value"] == only(metrics, finding="atelectasis", group_by="all")["value"]
    assert mean["note"] == "over 1 of 2 findings, without effusion"


def test_nothing_estimable_at_all(tmp_path: Path) -> None:
    metrics, _ = run(tmp_path, predicted("eps-1", ease=1.0).assign(label=1))
    assert metrics["value"].isna().all()
    assert set(metrics["note"]) == {"not estimable: no negative images", "not estimable: no finding is"}
    model = json.loads((tmp_path / "evaluate" / "summary.json").read_text())["models"][0]
    assert (model["mean_auroc"]["value"], model["worst_group"]) == (None, None)


def test_degenerate_redraws_are_counted_and_few_images_noted(tmp_path: Path) -> None:
    table = predicted("eps-1", ease=1.0, patients=12)
    positive = table["patient_id"].isin(["p0", "p1"])
    metrics, _ = run(tmp_path, table.assign(label=positive.astype("int8")))
    found = only(metrics, finding="effusion", group_by="all")
    assert np.isfinite([found["value"], found["low"]]).all()
    assert 3 <= found["degenerate"] <= 30
    assert found["note"] == "uncertain: fewer than 10 positive images"
    assert only(metrics, finding="mean", group_by="all")["note"] == "uncertain: few images for effusion, atelectasis"


def test_summary_names_the_worst_sure_group(measured: Measured) -> None:
    metrics, _, folder = measured
    summary = json.loads((folder / "evaluate" / "summary.json").read_text())
    assert (summary["redraws"], summary["findings"], summary["images"]) == (100, list(FINDINGS), 240)
    assert [model["arm"] for model in summary["models"]] == ["eps-0", "eps-1", "eps-inf", "eps-inf-matched"]
    assert summary["models"][-1]["epsilon"] == "inf"
    worst = summary["models"][1]["worst_group"]
    means = metrics[(metrics["arm"] == "eps-1") & (metrics["finding"] == "mean") & (metrics["group_by"] != "all")]
    sure = means["note"].isna() & (means["patients"] >= summary["minimum_cell"])
    assert sure.sum() >= 2
    assert worst["value"] == means.loc[sure, "value"].min()


def test_a_seed_without_its_reference_is_paired_with_the_first(tmp_path: Path) -> None:
    tables = [predicted("eps-inf", ease=2.0), predicted("eps-1", ease=1.0), predicted("eps-1", ease=1.1, seed=1)]
    _, differences = run(tmp_path, *tables)
    lost = only(differences, arm="eps-1", seed=1, finding="mean", group_by="all")
    assert lost["note"] == "against seed 0 of the reference"


def test_anybodys_predictions_need_no_arm_and_no_group(tmp_path: Path) -> None:
    plain = predicted("eps-1", ease=1.0)[["image_id", "patient_id", "finding", "label", "score"]]
    metrics, differences = run(tmp_path, plain)
    assert set(metrics["arm"]) == {"model"}
    assert set(metrics["group_by"]) == {"all"}
    assert differences.empty


def test_resample_is_patient_or_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="resample 'study' must be patient or image"):
        run(tmp_path, predicted("eps-1", ease=1.0), resample="study")
