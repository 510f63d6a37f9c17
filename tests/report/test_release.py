"""What may leave gives no small cell away, and says no more and no less than it has to."""

from __future__ import annotations

import functools
import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privrad.report import leaving, release, release_counts, release_rates
from privrad.report.measurements import COLUMNS, Measurements
from privrad.report.release import Tables
from privrad.report.release_curves import Chain
from privrad.report.release_linked import NEVER, SHOWN, SMALL, WITHHELD, Cell, Linked, hidden
from tests.report import attacked, drawn_cohort, lp_attack, measured
from tests.report.attacked import COUNTS, both, exposed, small_calls, small_counts, spans


@functools.cache
def nasty(place: int) -> tuple[Tables, int]:
    """A cohort, drawn once; no test may write into it."""
    return attacked.nasty(place)


@functools.cache
def fitted(place: int) -> Tables:
    """What may leave of a nasty cohort."""
    tables, minimum = nasty(place)
    return release.fit_to_leave(tables, minimum=minimum, few=minimum)


@pytest.mark.parametrize("place", [7, 14, 25, 40, 50])
def test_no_small_cell_is_bounded(place: int) -> None:
    """In cohorts 14, 25, 40 and 50, who knows less needs shown numbers for a bound that the texts give others."""
    (tables, minimum), released = nasty(place), fitted(place)
    assert len(small_counts(tables, minimum=minimum)) + len(small_calls(tables, minimum=minimum)) > 3
    assert exposed(tables, released, minimum=minimum, kinds=(0, 4)) == {}


def test_who_knows_less_is_kept_from_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_counts, "READERS", release_counts.READERS[:1])
    tables, minimum = nasty(25)
    released = release.fit_to_leave(tables, minimum=minimum, few=minimum)
    assert exposed(tables, released, minimum=minimum, kinds=(0,)) == {}
    assert exposed(tables, released, minimum=minimum, kinds=(3,)) != {}


def test_whole_numbers_bound_counts_no_further() -> None:
    (tables, minimum), released = nasty(25), fitted(25)
    wanted = small_counts(tables, minimum=minimum)
    known = lp_attack.learn(released, minimum=minimum, reader=attacked.readers(tables, minimum=minimum)[0])
    known.rows = [row for row in known.rows if not any(len(name) > 5 for name in row[0])]
    known.bounds = {name: bounds for name, bounds in known.bounds.items() if len(name) <= 5}
    real, whole = known.reach(wanted), known.reach(wanted, whole=True)
    assert len(wanted) > 3
    assert all(spans(whole[name], both(real[name], wanted[name])) for name in wanted)


def test_the_attack_finds_small_cells_where_only_they_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def primary_alone(linked: Linked, **_: int) -> dict[Any, str]:
        return {
            name: SMALL if cell.target else SHOWN if cell.shown else WITHHELD for name, cell in linked.cells.items()
        }

    for module in (release_counts, release_rates):
        monkeypatch.setattr(module, "hidden", primary_alone)
    tables, minimum = nasty(7)
    released = release.fit_to_leave(tables, minimum=minimum, few=minimum)
    found = exposed(tables, released, minimum=minimum, kinds=(0,))
    assert any(high - low < 1e-3 and len(name) <= 5 for name, (low, high) in found.items()), "a count is recovered"
    assert any(high - low < 1 and len(name) > 5 for name, (low, high) in found.items()), (
        "a number of calls is recovered"
    )


def test_steps_between_released_cut_offs_are_nobody_or_many() -> None:
    checked = 0
    for place in (7, 14, 50):
        (tables, minimum), released = nasty(place), fitted(place).measurements
        metrics = tables.measurements.metrics
        for finding in released.scores["finding"].unique():
            rows = released.scores[released.scores["finding"] == finding]
            bins = released.reliability[released.reliability["finding"] == finding]
            single = metrics[(metrics["finding"] == finding) & (metrics["group_by"] == "all")].iloc[0]
            assert rows["images"].sum() == single["images"] == bins["images"].sum()
            for counts in (rows["images"], bins["positives"], bins["images"] - bins["positives"]):
                assert ((counts == 0) | (counts >= minimum)).all()
            overall = released.metrics[
                (released.metrics["finding"] == finding) & (released.metrics["group_by"] == "all")
            ]
            for row in overall[overall["metric"].isin(["sensitivity", "fpr"]) & overall["value"].notna()].to_dict(
                "records"
            ):
                label = int(row["metric"] == "sensitivity")
                own = rows[rows["label"] == label]
                above = own["images"][::-1].cumsum()[::-1]
                steps = (above - round(row["value"] * own["images"].sum())).abs()
                assert ((steps == 0) | (steps >= minimum)).all()
                checked += 1
    assert checked > 3


def test_curves_follow_from_released_points_alone() -> None:
    (tables, minimum), released = nasty(7), fitted(7).measurements
    metrics = tables.measurements.metrics
    kinks = 0
    for finding, rows in released.curves[released.curves["curve"] == "roc"].groupby("finding"):
        single = metrics[(metrics["finding"] == finding) & (metrics["group_by"] == "all")].iloc[0]
        rates = rows.sort_values("x")["y"].to_numpy()
        slopes = np.diff(rates)
        at = np.flatnonzero(np.abs(np.diff(slopes)) > 1e-6)
        assert len(at) <= 3 * (single["positives"] / minimum + 2), "no more corners than steps of the minimum allow"
        assert (slopes >= -1e-9).all()
        kinks += len(at)
    assert kinks > 0
    assert (released.curves["low"] <= released.curves["y"]).all()


def test_points_of_curves_keep_their_distance_where_they_are_rounded() -> None:
    """Rounding moves every point by less than half a step of the third decimal, and none past another."""
    rounded = leaving._as_written(fitted(7).measurements).curves
    exact = fitted(7).measurements.curves
    assert len(rounded) == len(exact) > 300
    for name in ("y", "low", "high"):
        assert rounded[name].eq(rounded[name].round(3)).all()
        assert (rounded[name] - exact[name]).abs().max() <= 0.0005 + 1e-9
    assert (rounded["low"] <= rounded["y"]).all()
    assert (rounded["y"] <= rounded["high"]).all()
    for _, rows in rounded[rounded["curve"] == "roc"].groupby("finding"):
        assert rows.sort_values("x")["y"].is_monotonic_increasing


def test_a_chain_takes_points_far_enough_from_all_others() -> None:
    chain = Chain(100, 50, 10, [(30.0, 40.0), (math.nan, 20.0)])
    assert chain.take((10.0, 20.0))
    assert not chain.take((19.0, 30.0)), "9 negatives from another"
    assert not chain.take((50.0, 45.0)), "5 positives from all of them"
    assert chain.take((0.0, 0.0))
    assert chain.line().tolist() == [[0, 0], [10, 20], [30, 40], [100, 50]]


def _row(values: list[float], *, total: float, minimum: int = 10) -> dict[Any, str]:
    linked = Linked({"total": Cell(total, (minimum, math.inf), cost=1e12)})
    for place, value in enumerate(values):
        small = 0 < value < minimum
        free = (1, minimum - 1) if small else (minimum, math.inf) if value else (0, 0)
        linked.cells[place] = Cell(value, free, free if small else None, cost=value if value >= minimum else NEVER)
    linked.total("total", list(range(len(values))))
    return hidden(linked)


def test_the_cheapest_cell_that_helps_is_withheld() -> None:
    assert _row([4, 30, 50, 0], total=84) == {"total": "", 0: SMALL, 1: WITHHELD, 2: "", 3: ""}
    assert _row([30, 50], total=80) == {"total": "", 0: "", 1: ""}
    assert _row([2, 1, 40, 90], total=133) == {"total": "", 0: SMALL, 1: SMALL, 2: WITHHELD, 3: ""}
    assert _row([4, 12, 90], total=106) == {"total": "", 0: SMALL, 1: WITHHELD, 2: WITHHELD}, "12 leaves 4 at most 6"


def test_the_same_tables_give_the_same_release() -> None:
    tables, minimum = nasty(7)
    one, other = fitted(7), release.fit_to_leave(tables, minimum=minimum, few=minimum)
    for field in fields(one.measurements):
        pd.testing.assert_frame_equal(getattr(one.measurements, field.name), getattr(other.measurements, field.name))
    pd.testing.assert_frame_equal(one.balance, other.balance)


def test_nothing_is_hidden_where_every_cell_is_large() -> None:
    tables = Tables(measured.build(arms={"eps-1": 1.0, "eps-inf": math.inf}), _no_balance(), _no_flow())
    only_all = measured.build(
        arms={"eps-1": 1.0, "eps-inf": math.inf}, groups={("all", "all"): 1.0, ("sex", "F"): 0.4, ("sex", "M"): 0.6}
    )
    released = release.fit_to_leave(Tables(only_all, tables.balance, tables.flow), minimum=10, few=10).measurements
    assert (released.metrics["value_shown"] == "").all()
    pd.testing.assert_series_equal(released.metrics["value"], only_all.metrics["value"])
    assert (released.metrics[[f"{column}_shown" for column, _ in COUNTS]] == "").all(axis=None)
    assert (released.differences["value_shown"] == "").all()
    assert (released.correlations["value_shown"] == "").all()


def _no_balance() -> pd.DataFrame:
    return pd.DataFrame([], columns=["split", "column", "value", "images", "patients"])


def _no_flow() -> pd.DataFrame:
    return pd.DataFrame([], columns=["step", "reason", "count"])


def test_exact_tables_hide_values_of_few_patients_alone() -> None:
    tables, _ = nasty(14)
    released = release.exact(tables, few=10)
    metrics, own = released.measurements.metrics, tables.measurements.metrics
    few = (own["group_by"] != "all") & (own["patients"] < 10)
    assert few.any()
    assert not few.all()
    assert (metrics["value_shown"] == np.where(few, "too few", "")).all()
    assert metrics.loc[few, ["value", "low", "high"]].isna().all(axis=None)
    assert (metrics["images"] == own["images"]).all()
    assert (metrics["images_shown"] == "").all()
    pd.testing.assert_frame_equal(released.measurements.curves, tables.measurements.curves)
    assert released.flow["count"].tolist() == tables.flow["count"].tolist()
    assert released.balance["images"].tolist() == tables.balance["images"].tolist()


def test_hidden_numbers_leave_no_trace_in_their_row() -> None:
    tables, minimum = nasty(25)
    own = tables.measurements.metrics.copy()
    few = (own["positives"] > 0) & (own["positives"] < minimum)
    own.loc[few, "note"] = "uncertain: 7 positive images"
    tables = replace(tables, measurements=replace(tables.measurements, metrics=own))
    released = release.fit_to_leave(tables, minimum=minimum, few=minimum).measurements.metrics
    gone = released[released["value_shown"] != ""]
    assert len(gone) > 100
    assert gone[["value", "low", "high", "sd", "pooled_sd", "degenerate"]].isna().all(axis=None)
    assert (gone["method"] == "").all()
    assert not released["note"].str.contains("7 positive").any()
    for column, _ in COUNTS:
        hidden_counts = released[f"{column}_shown"] != ""
        assert released.loc[hidden_counts, column].isna().all()
        assert released.loc[~hidden_counts, column].eq(own.loc[~hidden_counts, column]).all()
        assert not own[column].between(1, minimum - 1)[~hidden_counts].any()


def _sole(*, positives: int, called: int, images: int = 400, alarms: int = 60) -> Tables:
    """One finding of all images, without groups."""
    counts = {"images": images, "patients": images, "positives": positives, "positive_patients": positives}
    rates = {"sensitivity": called / positives, "underdiagnosis": 1 - called / positives}
    rates |= {"fpr": alarms / (images - positives), "specificity": 1 - alarms / (images - positives)}
    rates |= {"accuracy": (called + images - positives - alarms) / images, "ppv": called / (called + alarms)}
    base = {
        "arm": "eps-1",
        "epsilon": 1.0,
        "seed": 0,
        "finding": "nodule",
        "group_by": "all",
        "group": "all",
        "note": "",
    }
    rows = [base | counts | {"metric": metric, "rule": "youden", "value": value} for metric, value in rates.items()]
    rows.append(base | counts | {"metric": "auroc", "rule": "", "value": 0.8})
    empty = {name: pd.DataFrame([], columns=list(columns)) for name, columns in COLUMNS.items()}
    empty["metrics"] = pd.DataFrame(rows, columns=list(COLUMNS["metrics"]))
    empty["metrics"]["method"] = ""
    return Tables(Measurements(**empty), _no_balance(), _no_flow())


@pytest.mark.parametrize(
    ("tables", "texts"),
    [
        (_sole(positives=237, called=233), {"sensitivity": "> 0.95", "underdiagnosis": "< 0.05", "fpr": ""}),
        (_sole(positives=237, called=233), {"accuracy": "withheld", "ppv": "withheld"}),
        (_sole(positives=237, called=4), {"sensitivity": "< 0.05", "underdiagnosis": "> 0.95", "fpr": ""}),
        (_sole(positives=100, called=50, alarms=3), {"fpr": "< 0.04", "specificity": "> 0.96", "sensitivity": ""}),
        (_sole(positives=100, called=100), {"sensitivity": "", "underdiagnosis": "", "ppv": ""}),
        (_sole(positives=14, called=6), {"sensitivity": "withheld", "underdiagnosis": "withheld", "fpr": ""}),
        (_sole(positives=7, called=6), {"sensitivity": "too few", "fpr": "withheld", "auroc": "too few"}),
        (_sole(positives=100, called=50), {"sensitivity": "", "accuracy": "", "auroc": ""}),
    ],
)  # fmt: skip
def test_rates_near_their_ends_are_bounded_outwards(tables: Tables, texts: dict[str, str]) -> None:
    released = release.fit_to_leave(tables, minimum=10, few=10).measurements.metrics.set_index("metric")
    assert {metric: released.loc[metric, "value_shown"] for metric in texts} == texts
    for metric, text in texts.items():
        true = float(tables.measurements.metrics.set_index("metric")["value"][metric])
        if text.startswith((">", "<")):
            assert (true > float(text[2:])) == (text[0] == ">")


def test_where_negatives_are_nobody_positives_are_hidden() -> None:
    tables = _sole(positives=100, called=50)
    metrics = tables.measurements.metrics
    own = metrics.assign(
        group_by="sex", group="F", images=40, patients=40, positives=40, positive_patients=40, value=math.nan
    )
    others = metrics.assign(
        group_by="sex", group="M", images=360, patients=360, positives=60, positive_patients=60, value=0.5
    )
    both = pd.concat([metrics, own, others], ignore_index=True)
    held = Tables(Measurements(**{**vars(tables.measurements), "metrics": both}), tables.balance, tables.flow)
    released = release.fit_to_leave(held, minimum=10, few=10).measurements.metrics
    women = released[released["group"] == "F"].iloc[0]
    assert women["positives_shown"] == "withheld" or women["images_shown"] == "withheld"


def test_a_lone_refusal_takes_another_with_it() -> None:
    tables = drawn_cohort.draw(2, patients=400, rare=0.3, refused=(3, 25, 40))
    flow = release.fit_to_leave(tables, minimum=10, few=10).flow.set_index("reason")["count_shown"]
    assert flow["reason_0"] == "<10"
    assert flow["reason_1"] == "withheld"
    assert flow["reason_2"] == ""


def test_a_count_says_the_same_in_every_table() -> None:
    released = fitted(7)
    balance = released.balance[released.balance["split"] == "test"].set_index(["column", "value"])
    metrics = released.measurements.metrics[released.measurements.metrics["finding"] == "effusion"]
    compared = 0
    for row in metrics.drop_duplicates(["group_by", "group"]).to_dict("records"):
        place = (row["group_by"], row["group"])
        if place in balance.index:
            compared += 1
            assert balance.loc[place, "images_shown"] == row["images_shown"]
            assert balance.loc[place, "patients_shown"] == row["patients_shown"]
    assert compared == 6
    gaps = released.measurements.fairness
    merged = gaps.merge(metrics.drop_duplicates(["group_by", "group"]), on=["group_by", "group"], suffixes=("", "_own"))
    assert len(merged) > 50
    assert (merged["images_shown"] == merged["images_shown_own"]).all()


def test_a_difference_is_shown_only_where_all_compared_groups_are() -> None:
    shown = hidden_gaps = 0
    large = drawn_cohort.draw(5, patients=4000, rare=0.3, skill=0.5)
    for tables, whole in ((nasty(50)[0], fitted(50)), (large, release.fit_to_leave(large, minimum=10, few=10))):
        released = whole.measurements
        values = released.metrics[released.metrics["rule"] == "youden"].set_index(
            ["finding", "group_by", "group", "metric"]
        )
        for row in released.fairness.to_dict("records"):
            compared = released.fairness[
                (released.fairness["finding"] == row["finding"])
                & (released.fairness["group_by"] == row["group_by"])
                & (released.fairness["metric"] == row["metric"])
                & tables.measurements.fairness["value"].notna()
            ]["group"]
            base = row["metric"].removesuffix("_difference")
            if math.isfinite(row["value"]):
                shown += 1
                assert all(
                    values.loc[(row["finding"], row["group_by"], group, base), "value_shown"] == ""
                    for group in compared
                )
            else:
                hidden_gaps += 1
                assert math.isnan(row["simultaneous_low"])
    assert shown > 0
    assert hidden_gaps > 0


@pytest.mark.parametrize("hide", [True, False])
def test_correlations_go_with_their_points(hide: bool) -> None:
    own = measured.build(arms={"eps-1": 1.0, "eps-inf": math.inf}, groups={("all", "all"): 1.0})
    if hide:
        one = own.metrics["finding"] == own.metrics["finding"].iloc[0]
        own.metrics.loc[one, ["positives", "positive_patients"]] = 4
        own.correlation_points.loc[own.correlation_points["finding"] == own.metrics["finding"].iloc[0], "cases"] = 4
    released = release.fit_to_leave(Tables(own, _no_balance(), _no_flow()), minimum=10, few=10).measurements
    assert (released.correlations["value"].isna() == hide).all()
    assert (released.correlation_points["cases_shown"] == "<10").any() == hide
    assert released.seeds["mean"].isna().any() == hide


def test_the_summary_shows_no_more_than_the_tables() -> None:
    released = fitted(14)
    model = {"arm": "eps-1", "seed": 0, "mean_auroc": {"value": 0.8, "low": 0.7, "images": 99}, "worst_group": None}
    summary = release.fit_summary({"images": 99, "patients": 50, "seed": 1, "models": [model]}, released)
    held = released.measurements.metrics
    row = held[(held["finding"] == "mean") & (held["group_by"] == "all") & (held["metric"] == "auroc")].iloc[0]
    assert row["value_shown"] == "too few"
    assert summary["models"][0]["mean_auroc"]["value"] is None
    assert (summary["images"] is None) == (row["images_shown"] != "")
    assert summary["seed"] == 1


def test_bands_of_other_edges_beside_each_other_count_nobody_between_them() -> None:
    """38 in the balance's [60,70) and 29 in the evaluation's [60,67) would leave 9 from 67 to 69."""
    ours = {"[0,60)": 32, "[60,67)": 29, "[67,74)": 27, "[74,inf)": 32}
    groups = {("all", "all"): 1.0} | {("age", band): count / 120 for band, count in ours.items()}
    made = measured.build(arms={"eps-1": 1.0}, findings=("pdac",), groups=groups)
    theirs = {"[0,30)": 0, "[30,60)": 32, "[60,70)": 38, "[70,80)": 33, "[80,inf)": 17, "unknown": 0}
    rows = [("test", "all", "all", 120, 120), *(("test", "age", band, count, count) for band, count in theirs.items())]
    balance = pd.DataFrame([*rows, ("train", "age", "[60,70)", 90, 90)], columns=list(_no_balance()))
    released = release.fit_to_leave(Tables(made, balance, _no_flow()), minimum=10, few=10)
    assert released.balance["value"].tolist() == balance["value"].tolist()
    said = dict(zip(balance["value"][1:7], released.balance["images_shown"][1:7], strict=True))
    hidden_bands = ("[30,60)", "[60,70)", "[70,80)", "[80,inf)")
    assert said == {"[0,30)": "", **dict.fromkeys(hidden_bands, "withheld"), "unknown": ""}
    assert released.balance.loc[7, "images_shown"] == ""
    assert released.balance.loc[1:6, "images"].isna().tolist() == [False, *[True] * 4, False]
    same = balance.assign(value=balance["value"].replace({"[0,30)": "outside", "[30,60)": "[0,60)"}))
    shown = release.fit_to_leave(Tables(made, same, _no_flow()), minimum=10, few=10).balance
    assert shown.loc[shown["value"] == "[0,60)", "images_shown"].tolist() == [""]


def test_the_open_band_of_the_balance_is_the_last_of_the_evaluation_where_nobody_is_beyond() -> None:
    bands = {("age", "[0,80)"): 0.5, ("age", "[80,100)"): 0.5}
    balance = pd.DataFrame([("test", "age", "[80,inf)", 60, 60)], columns=list(_no_balance()))
    for beyond, named in (({}, "[80,100)"), ({("age", "outside"): 0.01}, release_counts.UNKNOWN)):
        made = measured.build(arms={"eps-1": 1.0}, findings=("pdac",), groups={("all", "all"): 1.0} | bands | beyond)
        assert release_counts.aligned(balance, made)["value"].tolist() == [named]
    ageless = measured.build(arms={"eps-1": 1.0}, findings=("pdac",), groups={("all", "all"): 1.0})
    assert release_counts.aligned(balance, ageless)["value"].tolist() == ["[80,inf)"]
