"""The published results: drawn from themselves alone, and a study's own beside them."""

import hashlib
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Text

from privrad.report import figures, published
from privrad.report.figures import publication
from privrad.report.published import Published, PublishedError
from tests.report import measured

FOLDER = Path(__file__).parents[2] / "resources" / "published"
ANCHORS = {  # read off Table 1 by eye
    ("uka_cxr", "auroc", 0.29, "total"): (83.13, 3.9),
    ("uka_cxr", "auroc", 7.89, "total"): (87.36, 4.1),
    ("uka_cxr", "auroc", math.inf, "total"): (89.71, 3.8),
    ("uka_cxr", "auroc", 2.04, "[80,100)"): (83.85, 4.3),
    ("uka_cxr", "statistical_parity_difference", 1.06, "[0,30)"): (7.35, 0.51),
    ("pdac", "auroc", 1.06, "total"): (95.58, 0.9),
    ("pdac", "auroc", 8.0, "female"): (98.13, 1.6),
}


@pytest.fixture(scope="module")
def held() -> Published:
    return published.read(FOLDER)


def test_known_numbers_stand_in_it(held: Published) -> None:
    table = held.results.set_index(["dataset", "metric", "epsilon", "group"])
    for key, numbers in ANCHORS.items():
        assert (table["mean_pct"].to_dict()[key], table["sd_pct"].to_dict()[key]) == numbers
    counts = held.counts.set_index(["dataset", "split", "what", "group"])["n"]
    assert counts["uka_cxr", "test", "all", "total"] == 39809
    assert counts["uka_cxr", "test", "cardiomegaly", "female"] == 5748


def test_the_groups_add_up_as_far_as_they_do_in_print(held: Published) -> None:
    wide = held.counts.pivot_table("n", ["dataset", "split", "what"], "group")
    missing = wide["total"] - wide["male"] - wide["female"]
    assert missing[missing != 0].to_dict() == {("pdac", "test", "all"): 1, ("pdac", "test", "tumor"): 1}
    chest = held.counts[(held.counts["dataset"] == "uka_cxr") & (held.counts["split"] == "test")]
    aged = chest[chest["group"].isin(publication.AGES)].groupby("what")["n"].sum()
    short = chest[chest["group"] == "total"].set_index("what")["n"] - aged
    assert short["all"] == 0
    assert short.drop("all").sort_values().tolist() == [0, 0, 1, 1, 1, 1, 1, 2]


def test_what_is_redrawn_is_what_was_published(held: Published, tmp_path: Path) -> None:
    published.run(held, out=tmp_path)
    keys = [*publication.PANELS, "table-1"]
    assert {path.name for path in tmp_path.iterdir()} == {
        *(f"{key}.{suffix}" for key in keys for suffix in ("svg", "pdf", "csv")), "statistics.csv",
    }  # fmt: skip
    areas = held.results[held.results["metric"] == "auroc"]
    drawn = pd.concat([pd.read_csv(tmp_path / f"{key}.csv") for key in publication.PANELS])
    both = drawn.merge(areas, how="outer", indicator=True)
    assert set(both["_merge"]) == {"both"}
    assert len(both) == len(areas) == len(drawn)
    table = pd.read_csv(tmp_path / "table-1.csv")
    rows, counts = table[table["metric"].notna()], table[table["n"].notna()]
    pd.testing.assert_frame_equal(rows[held.results.columns].reset_index(drop=True), held.results)
    pd.testing.assert_frame_equal(counts[held.counts.columns].reset_index(drop=True), held.counts)
    said = (tmp_path / "table-1.svg").read_text()
    for number in ("83.13", "89.71", "+7.35", "\N{MINUS SIGN}3.12", "99.97", "39\N{NARROW NO-BREAK SPACE}809"):
        assert f">{number}<" in said
    assert "Statistical parity difference: not legible in print" in said
    assert "not legible in print from ε = 5 on" in (tmp_path / "figure-4a.svg").read_text()


@pytest.mark.parametrize("width", [figures.WIDE, figures.SMALL])
@pytest.mark.parametrize("key", publication.PANELS)
def test_markers_stand_at_the_published_means_with_the_published_spread(
    key: str, width: float, held: Published
) -> None:
    areas = held.results[(held.results["metric"] == "auroc") & held.results["group"].isin(publication.PANELS[key])]
    seen = []
    for axes in publication.areas(areas, width=width).axes:
        for bars in axes.containers:
            assert isinstance(bars, ErrorbarContainer)
            (spans,) = bars.lines[2]
            reach = [np.asarray(segment)[:, 1] for segment in spans.get_segments()]
            seen += [(round(ends.mean(), 6), round(float(np.ptp(ends)) / 2, 6)) for ends in reach]
    assert sorted(seen) == sorted(zip(areas["mean_pct"].round(6), areas["sd_pct"].round(6), strict=True))


def test_same_numbers_same_bytes(held: Published, tmp_path: Path) -> None:
    hashes = []
    few = Published(held.results[held.results["epsilon"] > 7], held.counts, held.statistics)
    for name in ("one", "two"):
        published.run(few, out=tmp_path / name)
        hashes.append({path.name: hashlib.sha256(path.read_bytes()).digest() for path in (tmp_path / name).iterdir()})
    assert hashes[0] == hashes[1]


def test_the_one_statistic_that_can_be_had_again_and_why_the_others_cannot(held: Published) -> None:
    table = published.statistics(held)
    again = table[table["recomputed"].notna()]
    assert again["about"].tolist() == ["statistical parity difference by sex vs privacy level"]
    assert again["recomputed"].tolist() == pytest.approx([0.167], abs=5e-4)
    assert again["value"].tolist() == [0.13]
    assert (table["how"].str.len() > 10).all()
    assert table.loc[table["statistic"] == "delta", "how"].unique().tolist() == ["a setting, not a result"]


def test_ours_stands_beside_theirs_where_budget_and_group_match(held: Published) -> None:
    ours = measured.build(findings=("congestion", "cardiomegaly"), seeds=(0, 1))
    table = published.compare(ours, held, dataset="uka_cxr")
    theirs = held.results[held.results["dataset"] == "uka_cxr"]
    assert len(table) == len(theirs)
    row = table.query("metric == 'auroc' and epsilon == 0.29 and group == 'female'").iloc[0]
    assert row["ours"] == pytest.approx(measured.area("eps-0.29", 0.29, "mean", "F"))
    assert row[["theirs", "theirs_sd"]].tolist() == pytest.approx([0.8385, 0.04])
    assert row["difference"] == pytest.approx(row["ours"] - 0.8385)
    assert row["ours_pooled_sd"] == 0.04
    assert (row["trainings"], row["ours_low"] < row["ours"] < row["ours_high"]) == (1, True)
    free = table.query("metric == 'auroc' and epsilon == inf and group == 'total'")
    assert free["ours"].tolist() == pytest.approx([measured.area("eps-inf", math.inf, "mean")])
    gap = ours.fairness.query(
        "metric == 'accuracy_difference' and group == 'M' and finding == 'mean' and arm == 'eps-7.89' and seed == 0"
    )
    same = table.query("metric == 'statistical_parity_difference' and group == 'male' and epsilon == 7.89")
    assert same["ours"].tolist() == gap["value"].tolist()


def test_several_trainings_on_ct_are_averaged_as_the_published_ones_are(held: Published) -> None:
    arms = {"eps-8": 8.0, "eps-3": 3.0, "eps-inf": math.inf}
    ours = measured.build(arms=arms, findings=("tumor",), seeds=(0, 1, 2))
    table = published.compare(ours, held, dataset="pdac").set_index(["epsilon", "group"])
    assert set(table.index) == {
        (epsilon, group) for epsilon in (8.0, math.inf) for group in ("total", "male", "female")
    }
    trained = [measured.area("eps-8", 8.0, "mean", "F", seed) for seed in range(3)]
    row = table.query("epsilon == 8.0 and group == 'female'").iloc[0]
    assert row["trainings"] == 3
    assert row["ours"] == pytest.approx(np.mean(trained))
    assert row["ours_training_sd"] == pytest.approx(np.std(trained, ddof=1))
    assert math.isnan(row["ours_low"])


QUARTERED = {
    **{("all", "all"): 1.0, ("sex", "F"): 0.4, ("sex", "M"): 0.6, ("age", "[58,67)"): 0.24, ("age", "[0,58)"): 0.26},
    **{("age", "[74,inf)"): 0.24, ("age", "[67,74)"): 0.26, ("age", "unknown"): 0.01},
}


def test_quarters_of_age_are_matched_by_their_order(held: Published) -> None:
    arms = {"eps-1.06": 1.06, "eps-8": 8.0}
    ours = measured.build(arms=arms, findings=("pdac",), seeds=(0, 1, 2), groups=QUARTERED)
    table = published.compare(ours, held, dataset="pdac")
    bands = dict(zip(table["group"], table["ours_group"], strict=True))
    assert bands == {
        **{"total": "all", "male": "M", "female": "F"},
        **{"age_q1": "[0,58)", "age_q2": "[58,67)", "age_q3": "[67,74)", "age_q4": "[74,inf)"},
    }
    assert len(table) == 7 + 6  # the oldest at 8 are not legible in print
    row = table.query("epsilon == 1.06 and group == 'age_q4'").iloc[0]
    own = ours.metrics.query("arm == 'eps-1.06' and finding == 'mean' and group == '[74,inf)' and metric == 'auroc'")
    assert (row["ours"], row["theirs"]) == (pytest.approx(own["value"].mean()), pytest.approx(0.9843))


@pytest.mark.parametrize("left_out", ["[74,inf)", "[0,58)"])
def test_other_bands_than_four_quarters_are_not_held_against_quarters(left_out: str, held: Published) -> None:
    groups = {key: share for key, share in QUARTERED.items() if key[1] != left_out}
    for further in ({}, {("age", "[74,100)"): 0.24} if left_out == "[74,inf)" else {}):
        ours = measured.build(arms={"eps-8": 8.0}, findings=("pdac",), groups=groups | further)
        table = published.compare(ours, held, dataset="pdac")
        assert set(table["group"]) == {"total", "male", "female"}


def test_means_over_trainings_are_drawn_with_the_spread_between_them(held: Published) -> None:
    ours = measured.build(arms={"eps-8": 8.0, "eps-inf": math.inf}, findings=("pdac",), seeds=(0, 1), groups=QUARTERED)
    figured = published.figured(held, dataset="pdac")
    figure = figured.draw(ours, width=figures.WIDE)
    assert figure is not None
    assert "findings" not in figured.caption(ours).split(".")[0] + "".join(text.get_text() for text in figure.texts)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[3] == "Youngest quarter\n(ours: under 58 years)"
    table = published.compare(ours, held, dataset="pdac").query("group == 'total'").sort_values("epsilon")
    spans = {}
    for bars in figure.axes[titles.index("All")].containers:
        assert isinstance(bars, ErrorbarContainer)
        (lines,) = bars.lines[2]
        spans[str(bars.get_label())] = [float(np.ptp(np.asarray(one)[:, 1])) / 2 for one in lines.get_segments()]
    assert spans["this study, σ over trainings"] == pytest.approx(table["ours_training_sd"].tolist())
    assert spans["published, σ over trainings"] == pytest.approx(table["theirs_sd"].tolist())


def test_the_figure_says_that_the_cohorts_differ_and_draws_both(held: Published) -> None:
    ours = measured.build(findings=("congestion",))
    figured = published.figured(held, dataset="uka_cxr")
    assert "The cohorts differ" in figured.caption(ours)
    assert not any(letter.isdigit() for letter in figured.caption(ours) + figured.title + figured.missing)
    figure = figured.draw(ours, width=figures.WIDE)
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes][:3] == ["All", "Male", "Female"]
    heights = {
        str(bars.get_label()): np.asarray(bars.lines[0].get_ydata(), dtype=float)
        for bars in figure.axes[0].containers
        if isinstance(bars, ErrorbarContainer)
    }
    expected = held.results.query("dataset == 'uka_cxr' and metric == 'auroc' and group == 'total'")["mean_pct"]
    np.testing.assert_allclose(np.sort(heights["published"]), np.sort(expected / 100))
    np.testing.assert_allclose(np.sort(heights["this study, with interval"])[-1], 0.9)


def test_a_hidden_number_has_no_difference(held: Published) -> None:
    ours = measured.build(findings=("congestion",))
    metrics = ours.metrics.copy()
    few = (metrics["group"] == "[0,30)") & (metrics["metric"] == "auroc")
    metrics["value_shown"] = np.where(few, "too few", "")
    metrics.loc[few, ["value", "low", "high", "sd", "pooled_sd"]] = np.nan
    table = published.compare(replace(ours, metrics=metrics), held, dataset="uka_cxr")
    young = table[(table["group"] == "[0,30)") & (table["metric"] == "auroc")]
    assert set(young["ours_shown"]) == {"too few"}
    assert young[["ours", "difference", "ours_low"]].isna().all(axis=None)
    figure = published.figured(held, dataset="uka_cxr").draw(replace(ours, metrics=metrics), width=figures.SMALL)
    assert figure is not None
    assert "Under 30 years" not in [axes.get_title(loc="left") for axes in figure.axes]


def test_a_study_of_other_budgets_has_nothing_to_hold_against(held: Published, tmp_path: Path) -> None:
    ours = measured.build(arms={"eps-3": 3.0}, findings=("congestion",))
    figured = published.figured(held, dataset="uka_cxr")
    assert figured.draw(ours, width=figures.WIDE) is None
    figures.write(figured, ours, out=tmp_path)
    assert figured.missing in (tmp_path / "published.svg").read_text()
    assert (tmp_path / "published.csv").read_text().startswith("dataset,metric,finding,epsilon,group,")


@pytest.mark.parametrize(
    ("file", "old", "new", "match"),
    [
        ("results", "83.13", "183.13", r"AUROC must lie in 0 to 100 %; correct line 2"),
        ("results", "uka_cxr,auroc,0.54", "uka_cxr,auroc,0.29", r"may stand once; correct line 10"),
        ("results", "uka_cxr,auroc,0.29,male", "uka_cxr,accuracy,0.29,male", r"metric must be auroc"),
        ("results", "uka_cxr,auroc,0.29,male", "chexpert,auroc,0.29,male", r"dataset must be one of uka_cxr, pdac"),
        ("results", "uka_cxr,auroc,0.29", "uka_cxr,auroc,-0.29", r"epsilon must be above 0"),
        ("results", "83.13,3.9", "83.13,", r"sd_pct must be 0 or more; correct line 2"),
        ("results", "83.13,3.9", "much,3.9", r"results\.csv is not a table of published results"),
        ("counts", "153502", "-153502", r"n must be a whole number"),
        ("counts", "split", "part", r"has the columns dataset, part.*must have dataset, split"),
        ("statistics", "0.44", "inf", r"value must be a finite number; correct line 2"),
    ],
)
def test_a_wrong_table_is_refused(file: str, old: str, new: str, match: str, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    shutil.copytree(FOLDER, folder)
    text = (folder / f"{file}.csv").read_text()
    assert old in text
    (folder / f"{file}.csv").write_text(text.replace(old, new))
    with pytest.raises(PublishedError, match=match):
        published.read(folder)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(PublishedError, match=r"results\.csv is missing"):
        published.read(tmp_path)


@pytest.mark.parametrize("width", [figures.WIDE, figures.SMALL])
def test_every_text_is_large_enough(width: float, held: Published) -> None:
    ours = measured.build(findings=("congestion",))
    beside = published.figured(held, dataset="uka_cxr").draw(ours, width=width)
    drawn = [publication.table(held.counts, held.results, width=width), beside]
    areas = held.results[held.results["metric"] == "auroc"]
    drawn += [
        publication.areas(areas[areas["group"].isin(groups)], width=width) for groups in publication.PANELS.values()
    ]
    for figure in drawn:
        assert figure is not None
        found = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]
        sizes = [float(text.get_fontsize()) for text in found]
        assert min(sizes) * 360 / (figures.SMALL * 72) >= 8
