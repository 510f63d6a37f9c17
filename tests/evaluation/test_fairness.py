"""Gaps between groups against fairlearn's numbers, and their simultaneous intervals against known laws."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import accuracy_score, roc_auc_score

from privrad.evaluation import estimates, fairness, redraws
from privrad.evaluation.estimates import ALL, ANY, MEAN, Estimates
from privrad.evaluation.simultaneous import Levels, band
from tests.evaluation import made

RUN = ("eps-8", 0)
AT_THRESHOLD: dict[str, Callable[..., float]] = {
    "accuracy": accuracy_score,
    "sensitivity": true_positive_rate,
    "fpr": false_positive_rate,
    "selection_rate": selection_rate,
    "underdiagnosis": lambda labels, called: 1 - true_positive_rate(labels, called),
}
Study = tuple[estimates.TestSet, Estimates, pd.DataFrame]


def calibration_error(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    bins = np.minimum((scores * 10).astype(int), 9)
    off = [abs(scores[bins == place].sum() - labels[bins == place].sum()) for place in range(10)]
    return float(sum(off) / len(scores))


def gaps(
    test: estimates.TestSet, measured: Estimates, *, confidence: float = 0.95, minimum_cell: int = 10
) -> pd.DataFrame:
    return pd.DataFrame(fairness.gaps(test, measured, confidence=confidence, minimum_cell=minimum_cell))


@pytest.fixture(scope="module")
def study() -> Study:
    test = made.arranged(made.predictions(patients=260, ease={"eps-8": 1.3}))
    measured = made.measured(test)
    return test, measured, gaps(test, measured)


def by_group(test: estimates.TestSet, column: str, finding: str) -> dict[str, dict[str, float]]:
    """fairlearn's number of every group of a column, by the name of the metric."""
    _, scores, labels = test.scored[RUN, finding]
    groups = np.empty(len(labels), dtype=object)
    for (of, name), member in test.members.items():
        if of == column:
            groups[member] = name
    called = scores >= made.cutoffs(test)[RUN, finding]["youden"]
    frame = MetricFrame(metrics=AT_THRESHOLD, y_true=labels, y_pred=called, sensitive_features=groups)
    ranked = MetricFrame(
        metrics={"calibration": calibration_error, "auroc": roc_auc_score},
        y_true=labels,
        y_pred=scores,
        sensitive_features=groups,
    )
    told = pd.concat([frame.by_group, ranked.by_group], axis=1)
    return {str(name): {str(group): float(value) for group, value in told[name].items()} for name in told}


@pytest.mark.parametrize("column", ["sex", "age", "sex & age"])
@pytest.mark.parametrize("finding", [*made.FINDINGS, MEAN])
def test_every_value_is_fairlearns(study: Study, column: str, finding: str) -> None:
    test, _, rows = study
    mine = rows[(rows["group_by"] == column) & (rows["finding"] == finding)]
    findings = made.FINDINGS if finding == MEAN else (finding,)
    found = [by_group(test, column, each) for each in findings]
    checked = 0
    for metric in found[0]:
        values = {group: float(np.mean([each[metric][group] for each in found])) for group in found[0][metric]}
        differences = mine[(mine["metric"] == f"{metric}_difference") & mine["value"].notna()]
        images = {str(row["group"]): int(row["images"]) for _, row in differences.iterrows()}
        for _, row in differences.iterrows():
            others = [group for group in images if group != row["group"]]
            mean = np.average([values[group] for group in others], weights=[images[group] for group in others])
            assert row["value"] == pytest.approx(values[row["group"]] - mean, abs=1e-12)
            assert row["images"] == test.members[column, row["group"]].sum()
            checked += 1
        held = pd.Series({group: values[group] for group in images})
        widest = mine[mine["metric"] == f"{metric}_range"].iloc[0]
        assert widest["value"] == pytest.approx(held.max() - held.min(), abs=1e-12)
        assert widest["note"].split("; ")[0] == f"largest {held.idxmax()}, smallest {held.idxmin()}"
        if metric == "auroc":
            worst = mine[mine["group"] == "(worst)"].iloc[0]
            assert worst["value"] == pytest.approx(held.min(), abs=1e-12)
            assert worst["note"].split("; ")[0] == f"group {held.idxmin()}"
    assert checked >= 2 * len(found[0])


def test_by_sex_the_gap_is_female_minus_male(study: Study) -> None:
    _, _, rows = study
    sexes = rows[(rows["group_by"] == "sex") & rows["metric"].str.endswith("_difference")]
    female, male = (sexes[sexes["group"] == name].reset_index(drop=True) for name in ("F", "M"))
    assert len(female) == len(male) > 20
    np.testing.assert_allclose(female["value"], -male["value"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(female["simultaneous_low"], -male["simultaneous_high"], rtol=0, atol=1e-12)


def test_underdiagnosis_of_any_finding_is_the_share_of_sick_images_called_free_of_all(study: Study) -> None:
    test, _, rows = study
    cuts = made.cutoffs(test)
    called = np.any([test.scored[RUN, each][1] >= cuts[RUN, each]["youden"] for each in made.FINDINGS], axis=0)
    present = np.any([test.scored[RUN, each][2] for each in made.FINDINGS], axis=0)
    female = test.members["sex", "F"]
    frame = MetricFrame(
        metrics=true_positive_rate, y_true=present, y_pred=called, sensitive_features=np.where(female, "F", "M")
    )
    row = rows[(rows["finding"] == ANY) & (rows["group"] == "F")].iloc[0]
    assert row["metric"] == "underdiagnosis_difference"
    assert row["value"] == pytest.approx(frame.by_group["M"] - frame.by_group["F"], abs=1e-12)


def test_flagged_p_and_the_simultaneous_interval_agree(study: Study) -> None:
    _, _, rows = study
    told = rows[rows["value"].notna() & (rows["group"] != "(worst)")]
    beyond = (told["simultaneous_low"] > 0) | (told["simultaneous_high"] < 0)
    assert (told["flagged"] == beyond).all()
    assert (beyond == (told["p_simultaneous"] <= 0.05)).all()
    assert 0 < beyond.sum() < len(told)
    assert (told["simultaneous_low"] <= told["low"]).all()
    assert (told["high"] <= told["simultaneous_high"]).all()
    assert ((told["low"] <= told["value"]) & (told["value"] <= told["high"])).all()


def test_a_group_of_too_few_patients_takes_part_in_nothing(study: Study) -> None:
    test, measured, _ = study
    few = max(
        (group for group in test.members if group[0] == "age"),
        key=lambda group: -measured[RUN, group, MEAN].patients,
    )
    minimum = measured[RUN, few, MEAN].patients + 1
    told = gaps(test, measured, minimum_cell=minimum)
    mine = told[(told["group_by"] == "age") & (told["metric"] == "accuracy_difference") & (told["finding"] == MEAN)]
    left = mine[mine["group"] == few[1]].iloc[0]
    assert math.isnan(left["value"])
    assert math.isnan(left["simultaneous_low"])
    assert not left["flagged"]
    assert left["note"] == f"too few: {minimum - 1} patients, {minimum} needed"
    without = replace(test, members={group: mask for group, mask in test.members.items() if group != few})
    expected = gaps(without, measured, minimum_cell=minimum)
    kept = told[~((told["group_by"] == "age") & (told["group"] == few[1]))].reset_index(drop=True)
    for table in (kept, expected):
        table["note"] = table["note"].str.replace(r"; \d+ of \d+ groups not compared", "", regex=True)
    pd.testing.assert_frame_equal(kept, expected)


def test_the_worst_group_says_how_many_were_not_compared(study: Study) -> None:
    _, _, rows = study
    ages = rows[(rows["group_by"] == "sex & age") & (rows["finding"] == "effusion")]
    left_out = int(ages.loc[ages["metric"] == "auroc_difference", "value"].isna().sum())
    assert left_out > 0
    for group in ("(worst)", "(range)"):
        note = ages[(ages["group"] == group) & ages["metric"].str.startswith("auroc")].iloc[0]["note"]
        assert f"{left_out} of 10 groups not compared" in note


def test_few_patients_with_a_positive_image_are_too_few_for_sensitivity_alone(study: Study) -> None:
    test, measured, _ = study
    cell = measured[RUN, ("sex", "F"), "effusion"]
    minimum = cell.positive_patients + 1
    assert cell.patients > minimum
    rows = gaps(test, measured, minimum_cell=minimum)
    mine = rows[(rows["finding"] == "effusion") & (rows["group"] == "F")].set_index("metric")
    lacking = f"too few: {minimum - 1} patients with a positive image, {minimum} needed"
    assert mine["note"]["sensitivity_difference"] == mine["note"]["auroc_difference"] == lacking
    assert math.isfinite(mine["value"]["accuracy_difference"])
    male = rows[(rows["finding"] == "effusion") & (rows["group"] == "M")].set_index("metric")
    assert male["note"]["sensitivity_difference"] == "not estimable: no other group to compare with"
    worst = rows[(rows["finding"] == "effusion") & (rows["group_by"] == "sex") & (rows["group"] == "(worst)")].iloc[0]
    assert math.isnan(worst["value"])
    assert worst["note"] == "not estimable: fewer than two groups to compare"


def test_a_model_without_a_threshold_is_compared_by_rank_alone(study: Study) -> None:
    test, _, _ = study
    weights = redraws.weigh(test.unit_count, redraws=40, seed=1)
    nowhere = {key: {"youden": math.nan} for key in test.scored}
    measured = estimates.estimate(test, weights, cutoffs=nowhere, rule="youden", minimum_cell=10)
    rows = gaps(test, measured)
    single = rows[(rows["finding"] == "effusion") & (rows["group"] == "F")].set_index("metric")
    assert single["note"]["accuracy_difference"] == "not estimable: no threshold"
    mean = rows[(rows["finding"] == MEAN) & (rows["group"] == "F")].set_index("metric")
    assert mean["note"]["accuracy_difference"] == "not estimable: no finding is"
    assert mean["value"][["auroc_difference", "calibration_difference"]].notna().all()


def test_sex_and_age_are_one_family_in_the_mean_accuracy_only(study: Study) -> None:
    test, measured, rows = study
    by_sex = replace(test, members={group: mask for group, mask in test.members.items() if group[0] in ("all", "sex")})
    alone = gaps(by_sex, measured)

    def width(told: pd.DataFrame, metric: str) -> float:
        mine = told[(told["finding"] == MEAN) & (told["group"] == "F") & (told["metric"] == metric)].iloc[0]
        return float(mine["simultaneous_high"] - mine["simultaneous_low"])

    assert width(rows, "accuracy_difference") > 1.15 * width(alone, "accuracy_difference")
    assert width(rows, "sensitivity_difference") == width(alone, "sensitivity_difference")


def test_the_order_of_groups_changes_nothing(study: Study) -> None:
    test, measured, rows = study
    turned = gaps(replace(test, members=dict(reversed(test.members.items()))), measured)
    key = ["finding", "group_by", "group", "metric"]
    one, other = (table[table["group"] != "(range)"].sort_values(key, ignore_index=True) for table in (rows, turned))
    pd.testing.assert_frame_equal(one, other, rtol=1e-9, atol=1e-12)


def test_too_few_redraws_give_no_interval(study: Study) -> None:
    test, _, _ = study
    rows = gaps(test, made.measured(test, draws=18))
    row = rows[(rows["finding"] == MEAN) & (rows["metric"] == "accuracy_difference") & (rows["group"] == "F")].iloc[0]
    assert math.isfinite(row["value"])
    assert math.isnan(row["simultaneous_low"])
    assert not row["flagged"]
    assert row["note"] == "no simultaneous interval: 18 redraws are too few"


def test_redraws_without_a_number_are_counted(study: Study) -> None:
    test, measured, _ = study
    key = (RUN, ("sex", "F"), "effusion")
    drawn = measured[key]["sensitivity", "youden"]
    broken = replace(drawn, draws=np.where(np.arange(len(drawn.draws)) < 7, np.nan, drawn.draws))
    cell = replace(measured[key], metrics={**measured[key].metrics, ("sensitivity", "youden"): broken})
    rows = gaps(test, {**measured, key: cell})
    mine = rows[(rows["finding"] == "effusion") & (rows["group_by"] == "sex")].set_index(["metric", "group"])
    for group in ("F", "M"):
        assert mine["note"]["sensitivity_difference", group] == "not estimable in 7 of 200 redraws"
    assert mine["note"]["fpr_difference", "F"] == ""


def drawn_levels(values: list[float], spread: float, *, patients: int, redraws: int = 20_000) -> Levels:
    noise = np.random.default_rng(3).normal(scale=spread, size=(len(values), redraws))
    levels = np.array(values)
    return Levels(levels, levels[:, None] + noise, np.full(len(levels), float(patients)))


def test_all_pairs_of_equal_groups_have_tukeys_quantile() -> None:
    levels = drawn_levels([0.5, 0.5, 0.5, 0.5], 0.01, patients=10**6)
    eye = np.eye(4)
    pairs = np.array([eye[one] - eye[other] for one in range(4) for other in range(one)])
    found = band(levels, pairs, confidence=0.95, bounds=(-1, 1))
    expected = stats.studentized_range.ppf(0.95, 4, np.inf) * 0.01
    np.testing.assert_allclose(found.simultaneous_high - found.values, expected, rtol=0.03)
    np.testing.assert_allclose(found.high - found.values, 1.959964 * 0.01 * math.sqrt(2), rtol=0.02)


def test_independent_levels_have_sidaks_quantile_and_p() -> None:
    levels = drawn_levels([0.5, 0.5, 0.53], 0.01, patients=10**6)
    contrasts = np.eye(3) - np.array([[0, 0, 0], [0, 0, 0], [0.0, 0, 0]])
    found = band(replace(levels, values=levels.values - 0.5), contrasts, confidence=0.95, bounds=(-1, 1))
    reach = found.simultaneous_high[2] - found.values[2]
    assert reach == pytest.approx(stats.norm.isf((1 - 0.95 ** (1 / 3)) / 2) * found_error(found), rel=0.02)
    assert found.p[2] == pytest.approx(1 - (1 - 2 * stats.norm.sf(3)) ** 3, rel=0.25)


def found_error(found: Any) -> float:
    return float((found.high[2] - found.values[2]) / stats.norm.isf(0.025))


def test_few_patients_have_students_quantile() -> None:
    patients = 12
    one = drawn_levels([0.5, 0.5], 0.1, patients=patients)
    found = band(one, np.array([[1.0, -1.0]]), confidence=0.95, bounds=(-1, 1))
    error = 0.1 * math.sqrt(2 * patients / (patients - 1))
    assert found.high[0] == pytest.approx(stats.t.isf(0.025, 2 * (patients - 1)) * error, rel=0.02)


def test_the_bias_of_a_biased_metric_widens_both_sides() -> None:
    plain = drawn_levels([0.1, 0.1], 0.01, patients=10**6)
    shifted = replace(plain, draws=plain.draws + np.array([[0.004], [0.0]]))
    contrast = np.array([[1.0, -1.0]])
    one = band(shifted, contrast, confidence=0.95, bounds=(-1, 1))
    other = band(replace(shifted, biased=True), contrast, confidence=0.95, bounds=(-1, 1))
    for narrow, wide in ((one.high, other.high), (-one.low, -other.low)):
        assert wide[0] - narrow[0] == pytest.approx(0.004 / (math.sqrt(2) - 1), rel=0.1)


def test_redraws_that_never_go_so_far_leave_their_own_doubt() -> None:
    levels = drawn_levels([0.9, 0.1], 0.01, patients=10**6, redraws=500)
    found = band(levels, np.array([[1.0, -1.0]]), confidence=0.95, bounds=(-1, 1))
    assert found.p[0] == pytest.approx(1 - 0.01 ** (1 / 500), rel=1e-9)


@pytest.mark.parametrize(("redraws", "enough"), [(89, False), (90, True)])
def test_ninety_redraws_are_the_least(redraws: int, enough: bool) -> None:
    levels = drawn_levels([0.5, 0.5], 0.01, patients=50, redraws=redraws)
    found = band(levels, np.array([[1.0, -1.0]]), confidence=0.95, bounds=(-1, 1))
    assert np.isfinite(found.simultaneous_high[0]) == enough
    assert np.isfinite(found.high[0])


def test_groups_without_any_spread_are_as_sure_as_agresti_and_coulls_proportion() -> None:
    levels = Levels(np.array([1.0, 0.8]), np.tile([[1.0], [0.8]], 400), np.array([10.0, 1e9]))
    found = band(levels, np.array([[1.0, -1.0]]), confidence=0.95, bounds=(-1, 1))
    share = 12 / 14
    error = math.sqrt(share * (1 - share) / 14)
    assert found.high[0] - found.low[0] == pytest.approx(2 * stats.t.isf(0.025, 9) * error, rel=1e-3)
    assert found.low[0] < 0 < found.high[0]
    assert found.p[0] > 0.05


def test_intervals_stay_within_what_is_possible(study: Study) -> None:
    _, _, rows = study
    told = rows[rows["value"].notna()]
    assert (told["simultaneous_high"] <= 1).all()
    assert (told["simultaneous_low"] >= -1).all()
    worst = told[told["group"].isin(("(worst)", "(range)"))]
    assert (worst["simultaneous_low"] >= 0).all()
    assert ((worst["simultaneous_low"] <= worst["value"]) & (worst["value"] <= worst["simultaneous_high"])).all()


def test_everyone_is_not_compared(study: Study) -> None:
    _, _, rows = study
    assert ALL[0] not in set(rows["group_by"])
    assert not rows.duplicated(["arm", "seed", "finding", "group_by", "group", "metric"]).any()
