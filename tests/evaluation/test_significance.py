"""Comparisons of models on a simulated study, each number against an independent way to it."""

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from privrad.evaluation import estimates as measuring
from privrad.evaluation import redraws, significance, tables
from privrad.evaluation.estimates import ALL, MEAN, Estimates
from privrad.evaluation.hanley_mcneil import hanley_mcneil
from tests.evaluation import made

MARGIN = 0.02
Study = tuple[measuring.TestSet, Estimates, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def study() -> Study:
    test = made.arranged(made.predictions(seeds={"eps-1": (0, 1, 2), "eps-8": (0, 1)}, ease=made.EASE | {"eps-0": 0.3}))
    estimates = made.measured(test)
    return test, estimates, significance.compare(test, estimates, confidence=0.95, margin=MARGIN)


def small(table: pd.DataFrame, *, draws: int = 100) -> Study:
    test = made.arranged(table)
    estimates = made.measured(test, draws=draws)
    return test, estimates, significance.compare(test, estimates, confidence=0.95, margin=MARGIN)


def only(rows: list[dict[str, Any]], **values: object) -> dict[str, Any]:
    (row,) = (row for row in rows if all(row[key] == value for key, value in values.items()))
    return row


def test_every_arm_meets_every_other_of_more_epsilon(study: Study) -> None:
    _, _, rows = study
    finite = ["eps-0", "eps-1", "eps-8"]
    pairs = {(one, other) for place, one in enumerate(finite) for other in finite[place + 1 :]}
    pairs |= {(one, other) for one in finite for other in ("eps-inf", "eps-inf-matched")}
    assert {(row["arm"], row["reference"]) for row in rows} == pairs | {("eps-inf-matched", "eps-inf")}
    assert all(set(row) == set(tables.COLUMNS["significance.csv"]) for row in rows)
    findings = [row["finding"] for row in rows if (row["arm"], row["reference"]) == ("eps-0", "eps-inf")]
    assert findings == [*made.FINDINGS, MEAN]


def test_a_seed_meets_its_own_or_else_the_first_and_says_so(study: Study) -> None:
    _, estimates, rows = study
    own = only(rows, arm="eps-1", reference="eps-8", seed=1, finding="effusion")
    values = {seed: estimates[("eps-8", seed), ALL, "effusion"]["auroc"].value for seed in (0, 1)}
    mine = {seed: estimates[("eps-1", seed), ALL, "effusion"]["auroc"].value for seed in (1, 2)}
    assert (own["value"], own["note"]) == (values[1] - mine[1], "")
    lacking = only(rows, arm="eps-1", reference="eps-8", seed=2, finding="effusion")
    assert (lacking["value"], lacking["note"]) == (values[0] - mine[2], "against seed 0 of the reference")


def test_the_bootstrap_is_paired_and_by_patient(study: Study) -> None:
    """The p value again, from scikit-learn's AUROC on each redraw of the documented law."""
    test, _, rows = study
    patients, units = np.unique(test.images["patient_id"].astype(str), return_inverse=True)
    key = "atelectasis"
    _, matched, labels = test.scored[("eps-inf-matched", 0), key]
    _, free, _ = test.scored[("eps-inf", 0), key]
    draws = []
    for redraw in range(200):
        taken = np.random.default_rng([5, redraw]).integers(len(patients), size=len(patients))
        weights = np.bincount(taken, minlength=len(patients))[units]
        areas = [roc_auc_score(labels, scores, sample_weight=weights) for scores in (free, matched)]
        draws.append(areas[0] - areas[1])
    drawn = np.array(draws)
    row = only(rows, arm="eps-inf-matched", reference="eps-inf", finding=key)
    assert row["value"] == pytest.approx(roc_auc_score(labels, free) - roc_auc_score(labels, matched), abs=1e-12)
    assert row["p_bootstrap"] == pytest.approx(2 * (min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1) / 201)


def test_what_passes_at_five_percent_has_its_ninety_percent_interval_within_the_margin(study: Study) -> None:
    test, estimates, _ = study
    seen = set()
    for margin in (0.01, 0.02, 0.1):
        for row in significance.compare(test, estimates, confidence=0.95, margin=margin):
            seed = row["seed"] if (row["reference"], row["seed"]) in test.epsilons else 0
            cells = [
                estimates[run, ALL, row["finding"]] for run in ((row["reference"], seed), (row["arm"], row["seed"]))
            ]
            _, spread = significance.difference(*cells, confidence=0.90)
            assert row["noninferior"] == (spread.high < margin)
            assert row["equivalent"] == (spread.high < margin and spread.low > -margin)
            assert row["p_equivalent"] >= row["p_noninferior"]
            seen.add((row["noninferior"], row["equivalent"]))
    assert len(seen) > 1


def test_the_other_two_tests_are_beside_it(study: Study) -> None:
    test, estimates, rows = study
    row = only(rows, arm="eps-8", reference="eps-inf", finding="cardiomegaly", seed=1)
    assert row["note"] == "against seed 0 of the reference"
    scored = [test.scored[run, "cardiomegaly"] for run in (("eps-inf", 0), ("eps-8", 1))]
    p = hanley_mcneil(scored[0][1], scored[1][1], labels=scored[0][2]).p
    assert row["p_hanley_mcneil"] == pytest.approx(p, rel=1e-9)
    parts = [estimates[run, ALL, "cardiomegaly"].components for run in (("eps-inf", 0), ("eps-8", 1))]
    assert parts[0] is not None
    assert parts[1] is not None
    variance = parts[0].variance + parts[1].variance - 2 * float(parts[0].influence @ parts[1].influence)
    assert row["delong_z"] == pytest.approx(row["value"] / math.sqrt(variance))
    assert row["p_delong"] == pytest.approx(2 * norm.cdf(-abs(row["delong_z"])))


def test_delong_agrees_with_the_bootstrap_on_the_spread(study: Study) -> None:
    """The two spreads of one difference are estimates of one number; with 200 redraws within 20 % of each other."""
    _, estimates, _ = study
    cells = [estimates[run, ALL, MEAN] for run in (("eps-inf", 0), ("eps-1", 0))]
    drawn, spread = significance.difference(*cells, confidence=0.95)
    z, _ = significance.delong_test(*cells)
    assert drawn.value / z == pytest.approx(spread.sd, rel=0.2)


def test_holm_is_over_the_findings_of_a_pair_without_their_mean(study: Study) -> None:
    _, _, rows = study
    pair = [row for row in rows if (row["arm"], row["reference"]) == ("eps-inf-matched", "eps-inf")]
    family = [row for row in pair if row["finding"] != MEAN]
    for name in ("p_bootstrap", "p_delong"):
        given = [row[name] for row in family]
        by_hand = [min(1, max(sum(q >= less for q in given) * less for less in given if less <= p)) for p in given]
        assert [row[f"{name}_holm"] for row in family] == pytest.approx(by_hand)
        assert math.isnan(only(pair, finding=MEAN)[f"{name}_holm"])


def test_a_model_against_its_copy() -> None:
    table = made.predictions(ease={"eps-inf": 1.5}, patients=80)
    _, _, rows = small(pd.concat([table, table.assign(arm="eps-1", epsilon=1.0)], ignore_index=True))
    for row in rows:
        assert (row["value"], row["p_bootstrap"], row["delong_z"], row["p_delong"]) == (0, 1, 0, 1)
        assert row["noninferior"]
        assert row["equivalent"]
        assert row["note"] == "the two rank the images alike"
    assert [row["p_hanley_mcneil"] for row in rows if row["finding"] != MEAN] == [1, 1, 1]


def test_too_few_positive_patients_are_not_tested() -> None:
    table = made.predictions(ease={"eps-1": 1.0, "eps-inf": 1.5}, patients=80)
    few = table["patient_id"].isin([f"p{patient:05d}" for patient in range(6)])
    rare = table["finding"] == "effusion"
    table.loc[rare, "label"] = few[rare].astype("int8")
    _, _, rows = small(table)
    row = only(rows, finding="effusion")
    assert math.isfinite(row["value"])
    untested = ("low", "high", "p_bootstrap", "p_bootstrap_holm", "delong_z", "p_delong", "p_hanley_mcneil")
    assert all(math.isnan(row[name]) for name in (*untested, "p_noninferior", "p_equivalent"))
    assert row["noninferior"] is row["equivalent"] is None
    assert "fewer than 10 positive patients" in row["note"]
    others = [row for row in rows if row["finding"] in ("atelectasis", "cardiomegaly")]
    assert max(row["p_bootstrap"] for row in others) * 2 >= max(row["p_bootstrap_holm"] for row in others)


def test_a_finding_without_positives_is_said_to_be_none() -> None:
    table = made.predictions(ease={"eps-1": 1.0, "eps-inf": 1.5}, patients=80)
    table.loc[table["finding"] == "effusion", "label"] = np.int8(0)
    _, _, rows = small(table)
    row = only(rows, finding="effusion")
    assert math.isnan(row["value"])
    assert math.isnan(row["p_bootstrap"])
    assert row["note"] == "not estimable: no positive images"
    assert math.isfinite(only(rows, finding=MEAN)["value"])


def test_means_over_other_findings_are_not_compared() -> None:
    table = made.predictions(ease={"eps-1": 1.0, "eps-inf": 1.5}, patients=80)
    table = table[~((table["arm"] == "eps-1") & (table["finding"] == "effusion"))].reset_index(drop=True)
    _, _, rows = small(table)
    assert [row["finding"] for row in rows] == ["atelectasis", "cardiomegaly", MEAN]
    row = rows[-1]
    assert all(math.isnan(row[name]) for name in ("value", "low", "p_bootstrap", "p_delong", "p_noninferior"))
    assert row["note"] == "not comparable: only one of the two means includes effusion"


def test_models_on_different_images_have_no_hanley_mcneil_test() -> None:
    table = made.predictions(ease={"eps-1": 1.0, "eps-inf": 1.5}, patients=80)
    table = table[~((table["arm"] == "eps-1") & (table["image_id"] == "i00003"))].reset_index(drop=True)
    _, _, rows = small(table)
    row = only(rows, finding="effusion")
    assert math.isnan(row["p_hanley_mcneil"])
    assert math.isfinite(row["p_delong"])
    assert row["note"] == "the two were scored on different images: no Hanley-McNeil test"


def test_a_test_that_cannot_be_made_says_why() -> None:
    """A model that is always right against one that is always wrong: neither area has a variance."""
    table = made.predictions(ease={"eps-1": 1.0, "eps-inf": 1.5}, patients=80)
    table["score"] = np.where(table["arm"] == "eps-inf", table["label"], 1 - table["label"]).astype(float)
    _, _, rows = small(table)
    row = only(rows, finding="effusion")
    assert row["value"] == 1
    assert math.isnan(row["p_hanley_mcneil"])
    assert math.isnan(row["p_delong"])
    assert "no Hanley-McNeil test: an area of 0 or 1" in row["note"]
    assert "no DeLong test: neither area has a variance" in row["note"]


def test_models_of_no_known_epsilon_are_in_no_pair() -> None:
    _, _, rows = small(made.predictions(ease={"eps-1": 1.0, "eps-8": 1.5}, patients=80).assign(epsilon=math.nan))
    assert rows == []


@pytest.mark.parametrize("margin", [0.0, -0.1, math.nan])
def test_a_margin_that_is_none_is_refused(study: Study, margin: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        significance.compare(study[0], study[1], confidence=0.95, margin=margin)


def test_seeds_keep_two_spreads_apart(study: Study) -> None:
    test, estimates, _ = study
    rows = significance.seeds(test, estimates)
    assert all(list(row) == list(tables.COLUMNS["seeds.csv"]) for row in rows)
    assert len(rows) == 5 * 4
    cells = [estimates[("eps-1", seed), ALL, MEAN]["auroc"] for seed in (0, 1, 2)]
    row = only(rows, arm="eps-1", finding=MEAN)
    assert (row["trainings"], row["metric"], row["note"]) == (3, "auroc", "")
    assert row["mean"] == pytest.approx(np.mean([cell.value for cell in cells]))
    assert row["sd"] == pytest.approx(np.std([cell.value for cell in cells], ddof=1))
    assert row["sampling_sd"] == pytest.approx(np.mean([np.std(cell.draws, ddof=1) for cell in cells]))
    single = only(rows, arm="eps-inf", finding=MEAN)
    assert math.isnan(single["sd"])
    assert single["sampling_sd"] > 0
    assert (single["trainings"], single["note"]) == (1, "one training: no spread between trainings")


def test_seeds_count_the_trainings_that_could_be_measured(study: Study) -> None:
    test, estimates, _ = study
    key = (("eps-8", 1), ALL, "effusion")
    nothing = redraws.Drawn(math.nan, np.full(200, np.nan), np.full(100, np.nan))
    lost = dataclasses.replace(estimates[key], metrics={**estimates[key].metrics, ("auroc", ""): nothing})
    row = only(significance.seeds(test, estimates | {key: lost}), arm="eps-8", finding="effusion")
    assert (row["trainings"], row["mean"]) == (1, estimates[("eps-8", 0), ALL, "effusion"]["auroc"].value)
    assert row["note"] == "1 of 2 trainings not estimable; one training: no spread between trainings"
