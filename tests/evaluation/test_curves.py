"""Curves, reliability and histograms against scikit-learn on the redrawn images themselves."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from privrad.evaluation import curves, estimates, redraws, roc

Floats = NDArray[np.float64]
GRID = np.arange(101) / 100


@pytest.fixture(params=[3, 10, 1000], ids=lambda values: f"{values} distinct scores")
def cell(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Images of 60 patients, 1 to 6 each, with scores rounded to some number of values."""
    rng = np.random.default_rng(11)
    units = np.repeat(np.arange(60), rng.integers(1, 7, size=60)).astype(np.int32)
    labels = rng.random(len(units)) < 0.35
    scores = np.round(np.clip(0.6 * rng.random(len(units)) + 0.4 * labels, 0, 1) * (request.param - 1))
    return {"scores": scores / (request.param - 1), "labels": labels, "units": units}


def weights(units: int = 60, count: int = 30) -> redraws.Weights:
    return redraws.weigh(units, redraws=count, seed=3)


def redrawn(cell: dict[str, Any], matrix: NDArray[np.uint16]) -> Iterator[tuple[Floats, NDArray[np.bool_]]]:
    """The scores and labels of each row, every image as often as its patient was drawn."""
    for row in matrix:
        times = row[cell["units"]]
        yield np.repeat(cell["scores"], times), np.repeat(cell["labels"], times)


def test_the_areas_under_both_curves_are_those_of_scikit_learn() -> None:
    """With 100 positives and 100 negatives every step falls on the grid, so that its points give the whole areas."""
    rng = np.random.default_rng(7)
    labels, units = np.repeat([False, True], 100), np.arange(200, dtype=np.int32)
    scores = rng.permutation(200) / 400 + 0.301 * labels  # no two are equal
    passed = curves.measure(scores, labels=labels, units=units, weights=weights(200).matrix[:1])
    assert passed.roc[0, :-1].mean() == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert passed.precision[0, 1:].mean() == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_all_cores_together_measure_the_same_bits(cell: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = weights()
    ranking, _ = roc.rank(cell["scores"], labels=cell["labels"], units=cell["units"])

    def measured() -> list[Floats]:
        passed = curves.measure(**cell, weights=drawn.matrix)
        found, at = roc.measure(ranking, drawn, thresholds=[0.5])
        parts = (found, *at, {"auroc": roc.auroc(ranking, drawn)})
        return [passed.roc, passed.precision, passed.bins, *(values for part in parts for values in part.values())]

    alone = measured()
    monkeypatch.setattr(roc, "ALONE", 0)
    for one, other in zip(alone, measured(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_redraws_roc_curve_is_that_of_its_images(cell: dict[str, Any]) -> None:
    matrix = weights().matrix
    passed = curves.measure(**cell, weights=matrix)
    for found, (scores, labels) in zip(passed.roc, redrawn(cell, matrix), strict=True):
        false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
        for rate, sensitivity in zip(GRID, found, strict=True):
            last = np.flatnonzero(false <= rate)[-1]
            expected = true[last]
            if false[last] < rate:
                share = (rate - false[last]) / (false[last + 1] - false[last])
                expected += share * (true[last + 1] - true[last])
            assert sensitivity == pytest.approx(expected, abs=1e-12)


def test_every_redraws_precision_is_that_of_its_images(cell: dict[str, Any]) -> None:
    matrix = weights().matrix
    passed = curves.measure(**cell, weights=matrix)
    for found, (scores, labels) in zip(passed.precision, redrawn(cell, matrix), strict=True):
        precision, recall, _ = precision_recall_curve(labels, scores)
        for wished, reached in zip(GRID, found, strict=True):
            last = np.flatnonzero((recall >= wished) & (recall > 0))[-1]
            assert reached == pytest.approx(precision[last], abs=1e-12)


def test_bands_are_percentiles_of_the_redraws_alone(cell: dict[str, Any]) -> None:
    drawn = weights()
    passed = curves.measure(**cell, weights=drawn.matrix[:31])
    rows = pd.DataFrame(curves.curves(passed, confidence=0.9))
    assert rows.groupby("curve", sort=False).size().to_dict() == {"roc": 101, "pr": 101}
    for name, values in (("roc", passed.roc), ("pr", passed.precision)):
        mine = rows[rows["curve"] == name]
        assert np.array_equal(mine["x"], GRID)
        assert np.array_equal(mine["y"], values[0])
        low, high = np.quantile(values[1:], [0.05, 0.95], axis=0)
        assert mine["low"].to_numpy() == pytest.approx(low, abs=1e-12)
        assert mine["high"].to_numpy() == pytest.approx(high, abs=1e-12)


def test_more_images_of_the_same_patients_make_no_band_narrower(cell: dict[str, Any]) -> None:
    twice = {name: np.repeat(values, 5) for name, values in cell.items()}
    once, again = (curves.measure(**one, weights=weights().matrix) for one in (cell, twice))
    assert once.roc == pytest.approx(again.roc, abs=1e-12)
    assert once.precision == pytest.approx(again.precision, abs=1e-12)
    assert np.array_equal(5 * once.bins, again.bins)


def test_redraws_without_a_positive_are_left_out_of_the_band() -> None:
    units = np.arange(6, dtype=np.int32)
    scores, labels = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.9]), np.arange(6) == 5
    matrix = np.ones((5, 6), dtype=np.uint16)
    matrix[1, 5] = matrix[2, :5] = 0
    passed = curves.measure(scores, labels=labels, units=units, weights=matrix)
    assert np.isnan(passed.roc).all(axis=1).tolist() == [False, True, True, False, False]
    assert np.isnan(passed.precision).all(axis=1).tolist() == [False, True, False, False, False]
    rows = pd.DataFrame(curves.curves(passed, confidence=0.95))
    assert (rows[["y", "low", "high"]] == 1).all(axis=None)
    alone = curves.measure(scores, labels=labels, units=units, weights=matrix[:2])
    assert pd.DataFrame(curves.curves(alone, confidence=0.95))[["low", "high"]].isna().all(axis=None)


def test_reliability_is_that_of_the_redrawn_images(cell: dict[str, Any]) -> None:
    matrix = weights().matrix[:31]
    passed = curves.measure(**cell, weights=matrix)
    place = {"scores": cell["scores"], "units": cell["units"]}
    rows = list(curves.reliability(passed, **place, confidence=0.95))
    assert [row["bin"] for row in rows] == sorted(set(np.minimum((cell["scores"] * 10).astype(int), 9).tolist()))
    assert sum(row["images"] for row in rows) == len(cell["labels"])
    for row in rows:
        observed = []
        for scores, labels in redrawn(cell, matrix):
            within = (scores >= row["from"]) & ((scores < row["upto"]) | (row["bin"] == 9))
            observed.append(labels[within].mean() if within.any() else np.nan)
        within = (cell["scores"] >= row["from"]) & ((cell["scores"] < row["upto"]) | (row["bin"] == 9))
        assert (row["images"], row["positives"]) == (within.sum(), cell["labels"][within].sum())
        assert row["mean_score"] == pytest.approx(cell["scores"][within].mean())
        assert row["observed"] == pytest.approx(observed[0])
        if 0 < row["observed"] < 1:
            assert [row["low"], row["high"]] == pytest.approx(np.nanquantile(observed[1:], [0.025, 0.975]))


def test_a_bin_of_one_label_is_as_sure_as_its_patients_are_many() -> None:
    scores, units = np.repeat([0.05, 0.95], 20), np.repeat(np.arange(10), 4).astype(np.int32)
    passed = curves.measure(scores, labels=scores > 0.5, units=units, weights=weights(10).matrix)
    low, high = curves.reliability(passed, scores=scores, units=units, confidence=0.95)
    assert (low["observed"], low["low"], high["observed"], high["high"]) == (0, 0, 1, 1)
    assert low["high"] == pytest.approx(stats.beta.ppf(0.975, 1, 5))
    assert high["low"] == pytest.approx(stats.beta.ppf(0.025, 5, 1))


def test_a_score_on_an_edge_belongs_to_the_bin_above() -> None:
    scores = np.array([0, 0.1, 0.3, np.nextafter(0.3, 0), 0.6, 0.7, 0.9, 1])
    assert curves.bin_of(scores, bins=10).tolist() == [0, 1, 3, 2, 6, 7, 9, 9]
    assert curves.bin_of(scores, bins=20).tolist() == [0, 2, 6, 5, 12, 14, 18, 19]


def test_histograms_count_every_image_once(cell: dict[str, Any]) -> None:
    rows = pd.DataFrame(curves.histograms(cell["scores"], labels=cell["labels"]))
    assert len(rows) == 40
    assert rows.groupby("label")["images"].sum().tolist() == [(~cell["labels"]).sum(), cell["labels"].sum()]
    edges = np.append(rows["from"].iloc[:20], 1.0)
    for label, mine in rows.groupby("label"):
        expected, _ = np.histogram(cell["scores"][cell["labels"] == label], bins=edges)
        assert mine["images"].tolist() == expected.tolist()


def predictions() -> pd.DataFrame:
    """Two models and two findings on 40 images of 20 patients; nobody has the second finding."""
    rng = np.random.default_rng(2)
    images = pd.DataFrame(
        {"image_id": [f"i{n:02}" for n in range(40)], "patient_id": [f"p{n // 2:02}" for n in range(40)]}
    )
    parts = [
        images.assign(arm=arm, epsilon=epsilon, seed=0, finding=finding, score=rng.random(40), split="test")
        for arm, epsilon in (("eps-1", 1.0), ("eps-inf", np.inf))
        for finding in ("effusion", "rare")
    ]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(label=((table["finding"] == "effusion") & (table["image_id"] < "i15")).astype(np.int8))


def test_every_model_and_finding_has_its_rows() -> None:
    test = estimates.arrange(predictions(), resample="patient")
    tables = curves.of(test, weights(20), confidence=0.95)
    found = {name: pd.DataFrame(rows) for name, rows in tables.items()}
    assert {name: list(table) for name, table in found.items()} == {
        "curves.csv": ["arm", "epsilon", "seed", "finding", "curve", "x", "y", "low", "high"],
        "reliability.csv": [
            *("arm", "epsilon", "seed", "finding", "bin", "from", "upto"),
            *("mean_score", "observed", "low", "high", "images", "positives"),
        ],
        "scores.csv": ["arm", "epsilon", "seed", "finding", "label", "bin", "from", "upto", "images"],
    }
    assert {type(value) for rows in tables.values() for row in rows for value in row.values()} == {str, int, float}
    assert set(found["curves.csv"]["finding"]) == {"effusion"}
    for name, table in found.items():
        assert list(dict.fromkeys(table["arm"])) == ["eps-1", "eps-inf"], name
    images = found["scores.csv"].groupby(["arm", "finding", "label"])["images"].sum()
    assert images.tolist() == [25, 15, 40, 0] * 2
    rare = found["reliability.csv"].query("finding == 'rare'")
    assert rare.groupby("arm")["images"].sum().tolist() == [40, 40]
    assert (rare["observed"] == 0).all()
    assert (rare["high"] > 0).all()


def test_the_jackknife_has_no_part_in_a_band() -> None:
    test = estimates.arrange(predictions(), resample="patient")
    drawn = weights(20)
    without = redraws.Weights(drawn.matrix[:31], drawn.redraws)
    assert curves.of(test, drawn, confidence=0.95) == curves.of(test, without, confidence=0.95)
