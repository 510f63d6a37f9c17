"""Correlations over findings and budgets, against scipy's."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from privrad.evaluation import correlations, fairness, tables
from privrad.evaluation import estimates as measuring
from privrad.evaluation.estimates import ALL, MEAN, Estimates
from tests.evaluation import made

FINDINGS = tuple(f"finding {letter}" for letter in "abcde")
EASE = {"eps-1": 0.6, "eps-2": 0.9, "eps-4": 1.1, "eps-8": 1.2, "eps-inf": 1.7, "eps-inf-matched": 1.6}
Rows = list[dict[str, Any]]
Study = tuple[measuring.TestSet, Estimates, Rows]


def table(patients: int = 150, findings: tuple[str, ...] = FINDINGS) -> pd.DataFrame:
    epsilons = {f"eps-{epsilon}": float(epsilon) for epsilon in (1, 2, 4, 8)}
    parts = made.predictions(
        patients=patients, findings=findings, ease=EASE, seeds={"eps-2": (0, 1)}, epsilons=epsilons
    )
    kept = np.ones(len(parts), dtype=bool)
    for order, finding in enumerate(findings):  # the findings are not equally frequent
        rarer = parts["patient_id"].str[-2:].astype(int) < 12 * order
        kept &= ~((parts["finding"] == finding) & (parts["label"] == 1) & rarer)
    return parts[kept].reset_index(drop=True)


def gaps(test: measuring.TestSet, estimates: Estimates) -> Rows:
    """Rows of fairness.csv as far as they are read here."""
    rows = []
    for arm, seed in test.epsilons:
        cells = {group: estimates[(arm, seed), ("sex", group), MEAN] for group in ("F", "M")}
        apart = cells["F"]["accuracy", "youden"].value - cells["M"]["accuracy", "youden"].value
        for group, value in (("F", apart), ("M", -apart)):
            rows += [
                {"arm": arm, "seed": seed, "finding": MEAN, "group_by": "sex", "group": group, "rule": "youden"}
                | {"metric": metric, "value": given}
                for metric, given in (("accuracy_difference", value), ("fpr_difference", 9.0))
            ]
    return rows


@pytest.fixture(scope="module")
def study() -> Study:
    test = made.arranged(table())
    estimates = made.measured(test, draws=100)
    return test, estimates, gaps(test, estimates)


def only(rows: Rows, **values: object) -> dict[str, Any]:
    (row,) = (row for row in rows if all(row[key] == value for key, value in values.items()))
    return row


def area(estimates: Estimates, arm: str, finding: str, which: Callable[[Any], Any]) -> Any:
    """The mean over the arm's trainings."""
    trainings = [run for run, group, name in estimates if run[0] == arm and group == ALL and name == finding]
    return np.mean([which(estimates[run, ALL, finding]["auroc"]) for run in trainings], axis=0)


def test_points_are_what_is_correlated(study: Study) -> None:
    test, estimates, found = study
    points, _ = correlations.correlations(test, estimates, found)
    assert all(list(point) == list(tables.COLUMNS["correlation_points.csv"]) for point in points)
    assert len(points) == 5 * 5
    point = only(points, arm="eps-2", finding="finding b")
    mine = np.mean([estimates[("eps-2", seed), ALL, "finding b"]["auroc"].value for seed in (0, 1)])
    reference = estimates[("eps-inf", 0), ALL, "finding b"]["auroc"].value
    assert (point["auroc"], point["reference_auroc"]) == (mine, reference)
    assert point["drop"] == pytest.approx(reference - mine)
    assert point["cases"] == estimates[("eps-1", 0), ALL, "finding b"].positives


@pytest.mark.parametrize("arm", ["eps-2", "eps-8", "eps-inf-matched"])
def test_over_findings_they_are_scipys(study: Study, arm: str) -> None:
    test, estimates, found = study
    _, rows = correlations.correlations(test, estimates, found)
    cases = [estimates[("eps-1", 0), ALL, finding].positives for finding in FINDINGS]

    def sides(which: Callable[[Any], Any]) -> dict[str, tuple[Any, Any]]:
        mine, free = (
            np.array([area(estimates, name, finding, which) for finding in FINDINGS]) for name in (arm, "eps-inf")
        )
        counted = np.broadcast_to(np.array(cases, dtype=float)[(...,) + (None,) * (mine.ndim - 1)], mine.shape)
        return {
            "auroc_vs_cases": (mine, counted),
            "auroc_vs_drop": (free, free - mine),
            "drop_vs_cases": (free - mine, counted),
        }

    for statistic, (one, other) in sides(lambda drawn: drawn.value).items():
        row = only(rows, statistic=statistic, arm=arm)
        assert row["value"] == pytest.approx(pearsonr(one, other).statistic, abs=1e-12)
        assert row["n"] == 5
        drawn = sides(lambda drawn: drawn.draws)[statistic]
        redrawn = [pearsonr(drawn[0][:, draw], drawn[1][:, draw]).statistic for draw in range(100)]
        assert [row["low"], row["high"]] == pytest.approx(list(np.quantile(redrawn, [0.025, 0.975])), abs=1e-12)


def test_the_reference_is_held_against_cases_alone(study: Study) -> None:
    _, rows = correlations.correlations(*study)
    assert [row["statistic"] for row in rows if row["arm"] == "eps-inf"] == ["auroc_vs_cases"]
    assert all(list(row) == list(tables.COLUMNS["correlations.csv"]) for row in rows)
    assert len({(row["statistic"], row["arm"]) for row in rows}) == len(rows)


def test_parity_goes_over_private_budgets(study: Study) -> None:
    test, estimates, found = study
    _, rows = correlations.correlations(test, estimates, found)
    women = {(row["arm"], row["seed"]): row["value"] for row in found if row["group"] == "F" and row["value"] != 9.0}
    apart = np.array(
        [women["eps-1", 0], (women["eps-2", 0] + women["eps-2", 1]) / 2, women["eps-4", 0], women["eps-8", 0]]
    )
    budgets = np.array([1.0, 2.0, 4.0, 8.0])
    for statistic, one, other in (
        ("parity_vs_epsilon", apart, budgets),
        ("parity_vs_log_epsilon", apart, np.log(budgets)),
        ("absolute_parity_vs_log_epsilon", abs(apart), np.log(budgets)),
    ):
        row = only(rows, statistic=statistic)
        assert row["value"] == pytest.approx(pearsonr(one, other).statistic, abs=1e-12)
        assert (row["n"], row["arm"]) == (4, "(budgets)")
        assert -1 <= row["low"] < row["high"] <= 1


def test_parity_reads_the_rows_that_fairness_writes(study: Study) -> None:
    test, estimates, found = study
    written = fairness.gaps(test, estimates, confidence=0.95, minimum_cell=10)
    _, rows = correlations.correlations(test, estimates, written)
    _, expected = correlations.correlations(test, estimates, found)
    budgets = [[row for row in part if row["arm"] == "(budgets)"] for part in (rows, expected)]
    assert len(budgets[0]) == 3
    for row, other in zip(*budgets, strict=True):
        assert [row[name] for name in ("value", "low", "high")] == pytest.approx(
            [other[name] for name in ("value", "low", "high")], abs=1e-9
        )


def test_parity_is_redrawn_against_the_mean_of_the_other_groups(study: Study) -> None:
    """A third group of the column sex: women less the image-weighted mean of both others, on each redraw."""
    test = made.arranged(table().assign(sex=lambda rows: rows["sex"].where(rows["patient_id"].str[-1] != "7")))
    estimates = made.measured(test, draws=60)

    def apart(run: tuple[str, int], which: Callable[[Any], Any]) -> Any:
        cells = {group: estimates[run, ("sex", group), MEAN] for group in ("F", "M", "unknown")}
        accuracy = {group: which(cell["accuracy", "youden"]) for group, cell in cells.items()}
        images = {group: cell.images for group, cell in cells.items()}
        others = sum(images[group] * accuracy[group] for group in ("M", "unknown")) / (images["M"] + images["unknown"])
        return accuracy["F"] - others

    given: Rows = []
    for run in test.epsilons:
        for group in ("F", "M", "unknown"):
            value = apart(run, lambda drawn: drawn.value) if group == "F" else 0.0
            given.append(
                {"arm": run[0], "seed": run[1], "finding": MEAN, "group_by": "sex", "group": group, "rule": "youden"}
                | {"metric": "accuracy_difference", "value": value}
            )
    _, rows = correlations.correlations(test, estimates, given)
    row = only(rows, statistic="parity_vs_epsilon")
    drawn = [
        np.mean([apart((arm, seed), lambda drawn: drawn.draws) for seed in seeds], axis=0)
        for arm, seeds in (("eps-1", (0,)), ("eps-2", (0, 1)), ("eps-4", (0,)), ("eps-8", (0,)))
    ]
    redrawn = [pearsonr([part[draw] for part in drawn], [1, 2, 4, 8]).statistic for draw in range(60)]
    assert [row["low"], row["high"]] == pytest.approx(list(np.quantile(redrawn, [0.025, 0.975])), abs=1e-12)


def test_without_sexes_or_private_budgets_there_is_no_parity(study: Study) -> None:
    test, estimates, found = study
    assert not [row for row in correlations.correlations(test, estimates, [])[1] if row["arm"] == "(budgets)"]
    hidden = [row | {"value": math.nan} for row in found]
    assert not [row for row in correlations.correlations(test, estimates, hidden)[1] if row["arm"] == "(budgets)"]


def test_two_findings_are_too_few(study: Study) -> None:
    test = made.arranged(table(patients=60, findings=("finding a", "finding c")))
    _, rows = correlations.correlations(test, made.measured(test, draws=20), [])
    assert rows
    for row in rows:
        assert all(math.isnan(row[name]) for name in ("value", "low", "high"))
        assert row["n"] == 2
        assert row["about"].endswith("; not estimable: fewer than 3 points")


def test_no_model_without_privacy_leaves_no_drop(study: Study) -> None:
    given = table()
    test = made.arranged(given[~given["arm"].str.startswith("eps-inf")].reset_index(drop=True))
    points, rows = correlations.correlations(test, made.measured(test, draws=20), [])
    assert all(math.isnan(point["drop"]) and math.isnan(point["reference_auroc"]) for point in points)
    assert math.isfinite(only(rows, statistic="auroc_vs_cases", arm="eps-1")["value"])
    drop = only(rows, statistic="auroc_vs_drop", arm="eps-1")
    assert (drop["n"], math.isnan(drop["value"])) == (0, True)


def test_points_without_spread_are_not_estimable() -> None:
    r = correlations.pearson(
        np.array([[1.0, 1.0], [2.0, 1.0], [4.0, 1.0]]), np.array([[1.0, 2.0], [3.0, 5.0], [2.0, 4.0]])
    )
    assert r[0] == pytest.approx(pearsonr([1, 2, 4], [1, 3, 2]).statistic)
    assert math.isnan(r[1])
    assert math.isnan(correlations.pearson(np.array([[math.nan], [1], [2]]), np.array([[1.0], [2], [3]]))[0])


def test_the_papers_parity_gives_another_r_than_it_prints() -> None:
    """Table 1 of Tayebi Arasteh, Ziller et al. (2024), women, epsilon 0.29 to 7.89; they print r = 0.13."""
    epsilon = np.array([0.29, 0.54, 1.06, 2.04, 4.71, 7.89])[:, None]
    parity = np.array([1.40, 1.56, 0.87, -0.15, 1.63, 0.66])[:, None]
    assert correlations.pearson(parity, epsilon)[0] == pytest.approx(-0.167, abs=5e-4)
    assert correlations.pearson(parity, np.log(epsilon))[0] == pytest.approx(-0.320, abs=5e-4)


def test_a_single_finding_has_no_correlations_over_findings() -> None:
    test = made.arranged(table(findings=FINDINGS[:1]))
    estimates = made.measured(test, draws=30)
    points, rows = correlations.correlations(test, estimates, gaps(test, estimates))
    assert points == []
    assert {row["statistic"] for row in rows} == set(correlations.OVER_BUDGETS)
