"""The evaluation's files, on predictions of known quality."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from privrad.evaluation import evaluate, summary, tables
from privrad.evaluation.settings import Settings

FINDINGS = ("effusion", "atelectasis")
CHOSEN = Settings(redraws=100, intervals="percentile", seed=3)
ARMS = {"eps-0": 0.3, "eps-1": 1.0, "eps-inf-matched": 1.8, "eps-inf": 2.0}
Tables = dict[str, pd.DataFrame]


def predicted(arm: str, *, ease: float, seed: int = 0, patients: int = 160) -> pd.DataFrame:
    """Two images a patient, a fifth of the patients for validation; the scores' noise is the same for all arms."""
    rng = np.random.default_rng(1)
    of = np.repeat(np.arange(patients), 2)
    sex, age = np.where(rng.random(patients) < 0.5, "F", "M")[of], rng.uniform(20, 95, patients)[of]
    parts = []
    for finding in FINDINGS:
        labels, noise = (rng.random(patients) < 0.4)[of], rng.normal(size=patients)[of]
        scores = 1 / (1 + np.exp(-(noise + ease * labels + 0.1 * rng.normal(size=of.size))))
        ids = {"image_id": [f"i{k:03d}" for k in range(of.size)], "patient_id": [f"p{k}" for k in of]}
        part = pd.DataFrame(ids).assign(finding=finding, label=labels.astype("int8"), score=scores, sex=sex, age=age)
        parts.append(part.assign(split=np.where(of % 5 == 0, "validation", "test")))
    epsilon = float(arm.removeprefix("eps-").removesuffix("-matched"))
    return pd.concat(parts).assign(arm=arm, epsilon=epsilon, seed=seed)


def run(folder: Path, *predictions: pd.DataFrame, settings: Settings = CHOSEN) -> Tables:
    paths = []
    for order, one in enumerate(predictions):
        paths.append(folder / f"{order}.parquet")
        one.to_parquet(paths[-1])
    evaluate.run(paths, settings=settings, out=folder / "evaluate", threads=1)
    return {
        name.removesuffix(".csv"): pd.read_csv(folder / "evaluate" / name, keep_default_na=False, na_values=[""])
        for name in tables.COLUMNS
    }


def only(table: pd.DataFrame, **values: object) -> pd.Series:
    for column, value in values.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def area(table: pd.DataFrame, **values: object) -> pd.Series:
    """The row of an AUROC."""
    return only(table, metric="auroc", **values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluate")


@pytest.fixture(scope="module")
def measured(folder: Path) -> Tables:
    return run(folder, *(predicted(arm, ease=ease) for arm, ease in ARMS.items()))


def test_every_table_has_its_columns_and_no_table_is_empty(measured: Tables) -> None:
    for name, table in measured.items():
        assert list(table) == list(tables.COLUMNS[f"{name}.csv"])
        assert len(table), name


def test_values_are_scikit_learns_in_all_and_by_group(measured: Tables) -> None:
    table = predicted("eps-1", ease=1.0)
    of_finding = table[(table["finding"] == "effusion") & (table["split"] == "test")]
    young = of_finding["age"].between(30, 60, inclusive="left")
    for group_by, group, part in (
        ("all", "all", of_finding),
        ("sex", "F", of_finding[of_finding["sex"] == "F"]),
        ("age", "[30,60)", of_finding[young]),
        ("sex & age", "F & [30,60)", of_finding[young & (of_finding["sex"] == "F")]),
    ):
        found = area(measured["metrics"], arm="eps-1", finding="effusion", group_by=group_by, group=group)
        assert found["value"] == pytest.approx(roc_auc_score(part["label"], part["score"]), abs=1e-12)
        assert (found["images"], found["patients"]) == (len(part), part["patient_id"].nunique())
        assert (found["positives"], found["positive_patients"]) == (
            part["label"].sum(),
            part.loc[part["label"] == 1, "patient_id"].nunique(),
        )


def test_the_mean_and_its_two_spreads_follow_from_the_law_of_the_redraws(measured: Tables) -> None:
    table = predicted("eps-1", ease=1.0)
    table = table[table["split"] == "test"]
    wide = table.pivot_table(index="image_id", columns="finding", values=["score", "label"]).sort_index()
    images = table.drop_duplicates("image_id").sort_values("image_id")
    patients, of = np.unique(images["patient_id"], return_inverse=True)
    redraws = []
    for redraw in range(100):
        taken = np.random.default_rng([3, redraw]).integers(len(patients), size=len(patients))
        weights = np.bincount(taken, minlength=len(patients))[of]
        redraws.append([roc_auc_score(wide["label"][f], wide["score"][f], sample_weight=weights) for f in FINDINGS])
    drawn = np.array(redraws)
    found = area(measured["metrics"], arm="eps-1", finding="mean", group_by="all")
    assert found["sd"] == pytest.approx(drawn.mean(axis=1).std(ddof=1), abs=1e-12)
    assert found["pooled_sd"] == pytest.approx(drawn.std(), abs=1e-12)
    assert [found["low"], found["high"]] == pytest.approx(list(np.quantile(drawn.mean(axis=1), [0.025, 0.975])))


def test_the_cut_off_is_chosen_on_validation_images_alone(folder: Path, measured: Tables, tmp_path: Path) -> None:
    """Test scores moved away leave the cut-offs where they were, and the published way's follow them."""
    moved = predicted("eps-1", ease=1.0)
    moved.loc[moved["split"] == "test", "score"] /= 2
    again = run(tmp_path, moved)["thresholds"]
    before = measured["thresholds"]
    for rule, alike in (("youden", True), ("specificity", True), ("youden_test", False)):
        chosen = [only(t, arm="eps-1", finding="effusion", rule=rule)["threshold"] for t in (before, again)]
        assert bool(chosen[0] == chosen[1]) is alike
    found = only(before, arm="eps-1", finding="effusion", rule="youden")
    said = predicted("eps-1", ease=1.0)
    said = said[(said["split"] == "test") & (said["finding"] == "effusion")]
    held = only(
        measured["metrics"], arm="eps-1", finding="effusion", group_by="all", metric="sensitivity", rule="youden"
    )
    assert held["value"] == pytest.approx((said.loc[said["label"] == 1, "score"] >= found["threshold"]).mean())


def test_groups_share_the_cut_off_and_the_published_way_stays_with_the_whole(measured: Tables) -> None:
    metrics = measured["metrics"]
    of_groups = metrics[(metrics["group_by"] != "all") & metrics["rule"].notna()]
    assert set(of_groups["rule"]) == {"youden"}
    assert set(metrics["rule"].dropna()) == {"youden", "specificity", "youden_test"}


def test_underdiagnosis_of_any_finding(measured: Tables) -> None:
    table = predicted("eps-1", ease=1.0)
    table = table[table["split"] == "test"]
    cuts = measured["thresholds"].set_index(["arm", "finding", "rule"])["threshold"]
    table["called"] = table["score"] >= table["finding"].map({f: cuts["eps-1", f, "youden"] for f in FINDINGS})
    images = table.groupby("image_id").agg(present=("label", "max"), called=("called", "max"), sex=("sex", "first"))
    for group, part in (("all", images), ("F", images[images["sex"] == "F"])):
        ill = part["present"] == 1
        for metric, expected in (
            ("underdiagnosis", 1 - part.loc[ill, "called"].mean()),
            ("overdiagnosis", part.loc[~ill, "called"].mean()),
        ):
            found = only(measured["metrics"], arm="eps-1", finding="any", group=group, metric=metric)
            assert found["value"] == pytest.approx(expected)


def test_differences_are_reference_minus_arm_and_paired(measured: Tables) -> None:
    metrics, differences = measured["metrics"], measured["differences"]
    lost = only(differences, arm="eps-1", reference="eps-inf", finding="mean", group_by="all")
    values = {arm: area(metrics, arm=arm, finding="mean", group_by="all") for arm in ("eps-1", "eps-inf")}
    assert lost["value"] == pytest.approx(values["eps-inf"]["value"] - values["eps-1"]["value"])
    assert 0 < lost["low"] < lost["value"] < lost["high"]
    assert lost["high"] - lost["low"] < values["eps-1"]["high"] - values["eps-1"]["low"]
    assert set(differences["reference"]) == {"eps-inf", "eps-inf-matched"}
    assert not (differences["arm"] == differences["reference"]).any()


def test_validation_patients_decide_what_is_not_inferior(tmp_path: Path, measured: Tables) -> None:
    equal = run(tmp_path, predicted("eps-1", ease=1.0), predicted("eps-inf", ease=1.0))["validation"]
    assert only(equal, reference="eps-inf")["noninferior"]
    assert only(equal, reference="eps-inf")[["value", "low", "high"]].tolist() == [0, 0, 0]
    worse = only(measured["validation"], arm="eps-1", reference="eps-inf")
    assert worse["value"] > 0.02
    assert not worse["noninferior"]
    assert (worse["patients"], worse["images"]) == (32, 64)


@pytest.mark.parametrize(
    ("met", "smallest"),
    [({8: True, 2: True, 1: False}, 2), ({8: False, 2: True, 1: True}, None), ({8: True, 2: False, 1: True}, 8)],
)
def test_the_smallest_budget_needs_all_larger_ones(met: dict[int, bool], smallest: int | None) -> None:
    rows = [
        {"arm": f"eps-{epsilon}", "epsilon": float(epsilon), "reference": "eps-inf", "noninferior": holds}
        for epsilon, holds in met.items()
    ]
    found = summary._noninferior(rows, CHOSEN)
    assert (found and found["epsilon"]) == smallest


def test_equal_models_differ_by_nothing(tmp_path: Path) -> None:
    found = run(tmp_path, predicted("eps-1", ease=1.0), predicted("eps-inf", ease=1.0))
    known = found["differences"].dropna(subset="value")
    assert (known["value"] == 0).all()
    assert (known[["low", "high"]].fillna(0) == 0).all(axis=None)
    assert only(found["significance"], finding="mean")["p_bootstrap"] == 1


def test_patients_not_images_are_resampled(tmp_path: Path) -> None:
    """Two alike images a patient: taking them for independent makes the interval narrower, by about the root of 2."""
    widths = []
    for resample in ("patient", "image"):
        chosen = replace(CHOSEN, redraws=300, resample=resample)
        found = area(
            run(tmp_path, predicted("eps-1", ease=1.0), settings=chosen)["metrics"], finding="mean", group_by="all"
        )
        widths.append(found["high"] - found["low"])
    assert 1.15 < widths[0] / widths[1] < 1.7


def test_same_input_in_any_order_same_bytes(folder: Path, measured: Tables, tmp_path: Path) -> None:
    run(tmp_path, *(predicted(arm, ease=ARMS[arm]) for arm in reversed(ARMS)))
    for name in (*tables.COLUMNS, "summary.json"):
        assert (tmp_path / "evaluate" / name).read_bytes() == (folder / "evaluate" / name).read_bytes(), name


def test_a_finding_without_positives_is_not_estimable(tmp_path: Path) -> None:
    table = predicted("eps-1", ease=1.0)
    table.loc[table["finding"] == "effusion", "label"] = 0
    metrics = run(tmp_path, table)["metrics"]
    single = area(metrics, finding="effusion", group_by="all")
    assert np.isnan(single["value"])
    assert single["note"].startswith("not estimable: no positive images")
    assert single["degenerate"] == 100
    mean = area(metrics, finding="mean", group_by="all")
    assert mean["value"] == area(metrics, finding="atelectasis", group_by="all")["value"]
    assert "over 1 of 2 findings, without effusion" in mean["note"]


def test_every_number_that_is_missing_has_its_reason(tmp_path: Path) -> None:
    table = predicted("eps-1", ease=1.0)
    table.loc[table["finding"] == "effusion", "label"] = 0
    table["sex"] = table["sex"].where(table["patient_id"] != "p1", "X")
    found = run(tmp_path, table, table.assign(arm="eps-inf", epsilon=np.inf))
    tested = (("metrics", "value"), ("fairness", "value"), ("differences", "value"), ("significance", "value"))
    for name, column in (*tested, ("thresholds", "threshold")):
        missing = found[name][found[name][column].isna()]
        assert len(missing)
        assert missing["note"].notna().all(), name
    alone = found["fairness"][(found["fairness"]["group"] == "X") & (found["fairness"]["patients"] == 1)]
    assert alone["note"].str.startswith("too few: 1 patient, 10 needed").all()


def test_a_number_that_stands_is_not_called_not_estimable(tmp_path: Path) -> None:
    """Without a positive image there is no AUROC, but a Brier score; and the mean Brier score is of all findings."""
    table = predicted("eps-1", ease=1.0)
    table.loc[table["finding"] == "effusion", "label"] = 0
    metrics = run(tmp_path, table)["metrics"]
    standing = metrics[metrics["value"].notna()]
    assert not standing["note"].fillna("").astype(str).str.contains("not estimable").any()
    asked = {"group_by": "all", "metric": "brier"}
    single = only(metrics, finding="effusion", **asked)
    assert single["note"].startswith("no positive images")
    mean = only(metrics, finding="mean", **asked)
    assert mean["value"] == pytest.approx(
        (single["value"] + only(metrics, finding="atelectasis", **asked)["value"]) / 2
    )
    assert "without" not in mean["note"]


def test_precision_without_a_negative_image_is_no_number(tmp_path: Path) -> None:
    table = predicted("eps-1", ease=1.0)
    table.loc[table["finding"] == "effusion", "label"] = 1
    metrics = run(tmp_path, table)["metrics"]
    asked = {"group_by": "all", "metric": "average_precision"}
    assert np.isnan(only(metrics, finding="effusion", **asked)["value"])
    assert only(metrics, finding="mean", **asked)["value"] == only(metrics, finding="atelectasis", **asked)["value"]


def test_means_of_all_proportions_have_intervals(measured: Tables) -> None:
    metrics = measured["metrics"]
    means = metrics[(metrics["finding"] == "mean") & (metrics["group_by"] == "all") & (metrics["rule"] == "youden")]
    assert {"ppv", "npv", "sensitivity", "accuracy"} <= set(means["metric"])
    assert means[["low", "high"]].notna().all(axis=None)


def test_every_number_lies_in_its_interval_and_the_interval_in_its_range(tmp_path: Path) -> None:
    chosen = replace(CHOSEN, intervals="auto")
    tables_of = run(tmp_path, *(predicted(arm, ease=3 * ease) for arm, ease in ARMS.items()), settings=chosen)
    for name, least in (("metrics", 0.0), ("differences", -1.0), ("significance", -1.0), ("fairness", -1.0)):
        known = tables_of[name].dropna(subset="low")
        assert len(known)
        assert ((known["low"] <= known["value"]) & (known["value"] <= known["high"])).all(), name
        assert known["low"].between(least, 1).all(), name
        assert known["high"].between(least, 1).all(), name


def test_models_scored_on_as_many_but_other_images_say_so(tmp_path: Path) -> None:
    one, other = predicted("eps-1", ease=1.0), predicted("eps-inf", ease=2.0)
    found = run(tmp_path, one[one["image_id"] != "i002"], other[other["image_id"] != "i004"])["differences"]
    notes = found[found["group_by"] == "all"]["note"]
    assert len(notes) == 3
    assert notes.str.contains("scored on different images").all()


def test_nothing_estimable_at_all(tmp_path: Path) -> None:
    metrics = run(tmp_path, predicted("eps-1", ease=1.0).assign(label=1))["metrics"]
    areas = metrics[metrics["metric"] == "auroc"]
    assert areas["value"].isna().all()
    assert areas["note"].str.startswith("not estimable").all()
    model = json.loads((tmp_path / "evaluate" / "summary.json").read_text())["models"][0]
    assert (model["mean_auroc"]["value"], model["worst_group"]) == (None, None)


def test_few_positive_patients_have_no_interval_and_redraws_without_any_are_counted(tmp_path: Path) -> None:
    table = predicted("eps-1", ease=1.0, patients=15)
    positive = table["patient_id"].isin(["p1", "p2"])
    metrics = run(tmp_path, table.assign(label=positive.astype("int8")), settings=replace(CHOSEN, intervals="auto"))
    found = area(metrics["metrics"], finding="effusion", group_by="all")
    assert np.isfinite(found["value"])
    assert np.isnan([found["low"], found["high"]]).all()
    assert 3 <= found["degenerate"] <= 30
    assert "uncertain: 4 positive images" in found["note"]
    assert "fewer than 10 positive patients" in found["note"]


def test_summary_names_the_worst_group_and_the_settings(folder: Path, measured: Tables) -> None:
    held = json.loads((folder / "evaluate" / "summary.json").read_text())
    assert (held["redraws"], held["findings"], held["images"]) == (100, list(FINDINGS), 256)
    assert [model["arm"] for model in held["models"]] == ["eps-0", "eps-1", "eps-inf", "eps-inf-matched"]
    assert held["models"][-1]["epsilon"] == "inf"
    worst = held["models"][1]["worst_group"]
    fairness = measured["fairness"]
    rows = fairness[(fairness["arm"] == "eps-1") & (fairness["finding"] == "mean") & (fairness["group"] == "(worst)")]
    rows = rows[rows["group_by"] != "findings"]
    assert worst["value"] == rows["value"].min()
    assert held["noninferior"] is None


def test_a_seed_without_its_reference_is_paired_with_the_first(tmp_path: Path) -> None:
    found = run(
        tmp_path, predicted("eps-inf", ease=2.0), predicted("eps-1", ease=1.0), predicted("eps-1", ease=1.1, seed=1)
    )
    lost = only(found["differences"], arm="eps-1", seed=1, finding="mean", group_by="all")
    assert "against seed 0 of the reference" in lost["note"]
    trained = only(found["seeds"], arm="eps-1", finding="mean")
    assert (trained["trainings"], trained["sd"] > 0) == (2, True)


def test_anybodys_predictions_need_no_arm_no_group_and_no_validation(tmp_path: Path) -> None:
    table = predicted("eps-1", ease=1.0)
    plain = table.loc[table["split"] == "test", ["image_id", "patient_id", "finding", "label", "score"]]
    found = run(tmp_path, plain)
    assert set(found["metrics"]["arm"]) == {"model"}
    assert set(found["metrics"]["group_by"]) == {"all", "findings"}
    assert found["differences"].empty
    assert found["validation"].empty
    at_cut = found["metrics"][found["metrics"]["rule"] == "youden"]
    assert at_cut["value"].isna().all()
    assert at_cut["note"].str.startswith("not estimable").all()
    assert found["metrics"].loc[found["metrics"]["rule"] == "youden_test", "value"].notna().any()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"resample": "study"}, "resample 'study' must be patient or image"),
        ({"seed": -1}, "seed -1 must be a whole number from 0 on"),
    ],
)
def test_settings_that_do_not_exist(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(CHOSEN, **wrong)


def test_quartiles_are_those_of_all_test_patients_in_every_arm(tmp_path: Path) -> None:
    """One arm lacks the oldest patients, and validation patients are older than any: neither moves an edge."""
    both = [predicted(arm, ease=1.5) for arm in ("eps-1", "eps-inf")]
    both = [one.assign(age=one["age"].where(one["split"] == "test", 99.0)) for one in both]
    both[0] = both[0][both[0]["age"].lt(80) | (both[0]["split"] == "validation")]
    made = run(tmp_path, *both, settings=replace(CHOSEN, age_bands="quartiles"))
    said = json.loads((tmp_path / "evaluate" / "summary.json").read_text())
    tested = both[1][both[1]["split"] == "test"].drop_duplicates("patient_id")
    years = np.sort(np.floor(tested["age"].to_numpy()))
    edges = [years[math.ceil(quartile * len(years) / 4) - 1] + 1 for quartile in (1, 2, 3)]
    assert (said["age_bands"], said["age_edges"]) == ("quartiles", [0, *edges, "inf"])
    named = [f"[{low:g},{high:g})" for low, high in itertools.pairwise([0, *edges, math.inf])]
    for table in ("metrics", "fairness"):
        for arm in ("eps-1", "eps-inf"):
            held = made[table].query(f"arm == '{arm}' and group_by == 'age' and not group.str.startswith('(')")
            assert list(dict.fromkeys(held["group"])) == named
    crossed = made["metrics"].query("group_by == 'sex & age'")["group"].unique()
    assert set(crossed) == {f"{sex} & {band}" for sex in "FM" for band in named}
