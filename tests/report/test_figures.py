"""The figures: what stands where, what is written, and the same bytes every time."""

import base64
import csv
import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from privrad.report import figures, inline, measurements, spreadsheet, words
from privrad.report.figures import axis, curves, rows, saving, scatter
from privrad.report.measurements import Measurements, MeasurementsError
from tests.report import measured

FIGURES = {figured.key: figured for figured in figures.FIGURES}
WIDTHS = (figures.WIDE, figures.SMALL)
SMALL_ARMS = {"eps-0": 0.0, "eps-0.29": 0.29, "eps-7.89": 7.89, "eps-inf-matched": math.inf, "eps-inf": math.inf}
SMALL_FINDINGS = ("cardiomegaly", "atelectasis_left", "congestion")


@pytest.fixture(scope="module")
def whole() -> Measurements:
    return measured.build()


@pytest.fixture(scope="module")
def one() -> Measurements:
    """A study of one finding and of budgets that stand close."""
    budgets = (0.29, 0.54, 4.71, 5.0, 6.0, 7.0, 8.0)
    arms = {f"eps-{epsilon:g}": epsilon for epsilon in budgets} | {"eps-inf": math.inf}
    return measured.build(arms=arms, findings=("tumor",), seeds=(0, 1, 2))


@pytest.fixture(scope="module")
def small_once() -> Measurements:
    return measured.build(arms=SMALL_ARMS, findings=SMALL_FINDINGS, seeds=(0, 1))


@pytest.fixture
def small(small_once: Measurements) -> Measurements:
    """A copy for each test, which may write into it."""
    return Measurements(**{name: table.copy() for name, table in vars(small_once).items()})


def drawn(key: str, tables: Measurements, width: float = figures.WIDE) -> Figure:
    figure = FIGURES[key].draw(tables, width=width)
    assert figure is not None
    return figure


def panel(figure: Figure, title: str) -> Axes:
    (found,) = (axes for axes in figure.axes if axes.get_title(loc="left").endswith(title))
    return found


def bars(axes: Axes, label: str) -> tuple[np.ndarray, Any]:
    """The heights of the markers of a labelled series, and its colour."""
    (held,) = (one for one in axes.containers if isinstance(one, ErrorbarContainer) and one.get_label() == label)
    return np.asarray(held.lines[0].get_ydata(), dtype=float), held.lines[0].get_color()


def texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, Bbox]]:
    """Every text that is really drawn: what it says, its size in points, and where it stands in points."""
    found, draw = [], Text.draw

    def noted(self: Text, renderer: Any) -> None:
        draw(self, renderer)
        if self.get_visible() and self.get_text().strip():
            found.append((self.get_text(), float(self.get_fontsize()), self.get_window_extent(renderer)))

    with monkeypatch.context() as patch, matplotlib.rc_context(figures.STYLE):
        figure.set_dpi(72)
        canvas = FigureCanvasAgg(figure)
        patch.setattr(Text, "draw", noted)
        canvas.draw()  # type: ignore[no-untyped-call]
    return found


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("key", "study"),
    [(key, "whole") for key in FIGURES] + [(key, "one") for key in ("figure-3", "roc", "score-distributions")],
)
def test_texts_are_legible_inside_and_apart(
    key: str, study: str, width: float, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = drawn(key, request.getfixturevalue(study), width)
    found = texts(figure, monkeypatch)
    assert len(found) > 8
    page = 400 - 2 * 20
    assert min(size for _, size, _ in found) * page / (figures.SMALL * 72) >= 8
    height = figure.get_figheight() * 72
    for said, _, box in found:
        assert box.x0 >= -0.5, said
        assert box.x1 <= width * 72 + 0.5, said
        assert box.y0 >= -0.5, said
        assert box.y1 <= height + 0.5, said
    apart = 1.5 if FIGURES[key].kind == "table" else -0.6
    boxes = [(said, box.padded(apart, -0.6)) for said, _, box in found]
    overlapping = [(one, two) for at, (one, a) in enumerate(boxes) for two, b in boxes[at + 1 :] if a.overlaps(b)]
    assert not overlapping


@pytest.mark.parametrize("figured", figures.FIGURES, ids=list(FIGURES))
def test_every_figure_says_what_it_is_without_a_digit(figured: figures.Figured, whole: Measurements) -> None:
    said = (figured.title, figured.caption(whole), figured.missing)
    assert all(len(text) > 5 and not any(letter.isdigit() for letter in text) for text in said)
    assert all(text.endswith(".") for text in said[1:])
    assert not figured.data(whole).empty


def test_budgets_stand_by_their_logarithm_and_the_ends_beside_them(small: Measurements) -> None:
    at = figures.places(small.metrics)
    assert at.of_arm["eps-7.89"] - at.of_arm["eps-0.29"] == pytest.approx(math.log10(7.89 / 0.29))
    order = ["eps-0", "eps-0.29", "eps-7.89", "eps-inf", "eps-inf-matched"]
    assert sorted(at.of_arm, key=lambda arm: at.of_arm[arm]) == order
    assert at.ticks(inches=4)[1] == ["0", "0.29", "7.89", "∞"]


def test_a_label_that_would_touch_another_is_left_out_but_its_tick_stays() -> None:
    dense = {f"eps-{epsilon:g}": epsilon for epsilon in (0.29, 0.54, 4.71, 5.0, 6.0, 7.0, 8.0)}
    at = figures.places(pd.DataFrame({"arm": list(dense), "epsilon": list(dense.values())}))
    places, labels = at.ticks(inches=4)
    assert len(places) == len(dense)
    assert labels == ["0.29", "0.54", "", "5", "", "", "8"]
    assert at.ticks(inches=40)[1] == ["0.29", "0.54", "4.71", "5", "6", "7", "8"]


def test_figure_2_is_the_four_averages_of_the_first_seed(small: Measurements) -> None:
    figure = drawn("figure-2", small)
    for title, metric in (("AUROC", "auroc"), ("Accuracy", "accuracy"), ("Sensitivity", "sensitivity")):
        axes = panel(figure, title)
        held = small.metrics.query(
            f"finding == 'mean' and group_by == 'all' and metric == '{metric}' and seed == 0 and rule in ('', 'youden')"
        ).set_index("arm")
        line = next(line for line in axes.get_lines() if str(line.get_label()).startswith("private"))
        np.testing.assert_allclose(np.asarray(line.get_ydata()), held.loc[["eps-0.29", "eps-7.89"], "value"])
        dashed = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
        assert float(np.asarray(dashed[0].get_ydata())[0]) == held["value"]["eps-inf"]
        (band,) = (held for held in axes.collections if isinstance(held, FillBetweenPolyCollection))
        heights = {round(float(y), 9) for y in np.asarray(band.get_paths()[0].vertices)[:, 1]}
        expected = held.loc[["eps-0.29", "eps-7.89"], ["low", "high"]].to_numpy().ravel()
        assert heights >= {round(float(y), 9) for y in expected}
    further = panel(figure, "AUROC").get_lines()[-1]
    assert further.get_markerfacecolor() == "none"
    assert len(np.asarray(further.get_ydata())) == len(SMALL_ARMS) - 1
    assert panel(figure, "AUROC").get_ylim() == (0.5, axis.TOP)


def test_an_average_below_chance_is_not_cut_off(small: Measurements) -> None:
    low = replace(small, metrics=small.metrics.assign(low=small.metrics["low"] - 0.3))
    lowest = low.metrics.query("finding == 'mean' and group_by == 'all' and metric == 'auroc'")["low"].min()
    assert panel(drawn("figure-2", low), "AUROC").get_ylim()[0] <= lowest


def test_the_cut_off_of_validation_is_drawn_and_that_of_the_test_images_only_where_there_is_no_other(
    small: Measurements,
) -> None:
    metrics = small.metrics
    other = metrics[metrics["rule"] == "youden"].assign(rule="youden_test", value=0.123)
    both = replace(small, metrics=pd.concat([metrics, other]))
    assert set(FIGURES["figure-2"].data(both)["rule"]) == {"", "youden"}
    assert "chosen on validation" in FIGURES["figure-2"].caption(both)
    alone = replace(small, metrics=pd.concat([metrics[metrics["rule"] != "youden"], other]))
    assert set(FIGURES["figure-2"].data(alone)["rule"]) == {"", "youden_test"}
    assert "chosen on the test set itself" in FIGURES["figure-2"].caption(alone)


def test_figure_3_has_a_panel_a_finding(small: Measurements) -> None:
    figure = drawn("figure-3", small)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Cardiomegaly", "Atelectasis left", "Congestion"]
    shown, _ = bars(panel(figure, "Congestion"), "∞: no privacy")
    assert shown == pytest.approx([measured.area("eps-inf", math.inf, "congestion")])


def test_figures_4_and_5_have_a_line_a_group_and_its_dashed_line_without_privacy(small: Measurements) -> None:
    axes = panel(drawn("figure-5", small), "AUROC")
    for group, said in (("F", "female"), ("M", "male")):
        heights, colour = bars(axes, said)
        runs = [(arm, epsilon) for arm, epsilon in SMALL_ARMS.items() if arm != "eps-inf-matched"]
        assert sorted(heights) == pytest.approx(sorted(measured.area(*run, "mean", group) for run in runs))
        without = [one for one in axes.get_lines() if one.get_linestyle() == "--" and one.get_color() == colour]
        assert float(np.asarray(without[0].get_ydata())[0]) == pytest.approx(
            measured.area("eps-inf", math.inf, "mean", group)
        )
    labels = {one.get_label() for one in panel(drawn("figure-4", small), "Accuracy").containers}
    assert labels == {"under 30 years", "30 to 59 years", "60 to 69 years", "70 to 79 years", "80 to 99 years"}


def test_a_group_keeps_its_colour_when_another_cannot_be_shown(small: Measurements) -> None:
    hidden = replace(small, metrics=small.metrics.copy())
    hidden.metrics.loc[hidden.metrics["group"] == "[0,30)", ["value", "low", "high"]] = np.nan
    colours = [bars(panel(drawn("figure-4", tables), "AUROC"), "30 to 59 years")[1] for tables in (small, hidden)]
    assert colours[0] == colours[1] == figures.SERIES[1]
    labels = {one.get_label() for one in panel(drawn("figure-4", hidden), "AUROC").containers}
    assert "under 30 years" not in labels


def test_a_group_of_few_patients_is_open(small: Measurements) -> None:
    note = np.where(small.metrics["group"] == "F", "uncertain: few patients", "")
    axes = panel(drawn("figure-5", replace(small, metrics=small.metrics.assign(note=note))), "AUROC")
    faces = {
        one.get_label(): one.lines[0].get_markerfacecolor()
        for one in axes.containers
        if isinstance(one, ErrorbarContainer)
    }
    assert faces["female"] == "none"
    assert faces["male"] != "none"


def test_the_scatter_is_of_the_largest_finite_budget(small: Measurements) -> None:
    assert scatter.least_private(small) == "eps-7.89"
    figure = drawn("figure-s9", small)
    points = small.correlation_points.query("arm == 'eps-7.89'")
    for letter, x, y in (("a", "reference_auroc", "drop"), ("c", "cases", "auroc")):
        (axes,) = (axes for axes in figure.axes if axes.get_title(loc="left").startswith(letter))
        seen = {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.get_lines()}  # type: ignore[index, arg-type]
        assert seen == set(zip(points[x].astype(float), points[y].astype(float), strict=True))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[1] == "b\N{EN SPACE}Pearson's r 0.50 (\N{MINUS SIGN}0.30 to 0.80)"
    assert titles[2] == "c\N{EN SPACE}Pearson's r 0.40 (\N{MINUS SIGN}0.30 to 0.80)"


def test_trade_offs_share_one_axis_of_epsilon(small: Measurements) -> None:
    figure = drawn("trade-offs", small)
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    worst, _ = bars(figure.axes[0], "worst group by age")
    runs = [(arm, epsilon) for arm, epsilon in SMALL_ARMS.items() if arm != "eps-inf-matched"]
    assert sorted(worst) == pytest.approx(sorted(measured.area(*run, "mean", "[80,100)") for run in runs))
    ranges, _ = bars(panel(figure, "Accuracy: best less worst group"), "worst group by sex")
    assert sorted(ranges) == pytest.approx(sorted(0.05 / (1 + min(epsilon, 10)) for _, epsilon in runs))


def test_curves_are_of_the_ends_of_the_budgets_or_of_the_one_arm_that_is_asked_for(whole: Measurements) -> None:
    assert list(curves.chosen(whole.curves)) == ["eps-0.29", "eps-7.89", "eps-inf"]
    assert list(curves.chosen(whole.only(["eps-1.06"]).curves)) == ["eps-1.06"]
    assert list(curves.chosen(whole.only(["eps-0"]).curves)) == ["eps-0"]
    labels = [text.get_text() for text in drawn("roc", whole.only(["eps-1.06"])).legends[0].get_texts()]
    assert labels == [words.arm("eps-1.06", epsilon=1.06)]


def test_roc_and_precision_recall_curves_are_their_grids(small: Measurements) -> None:
    for key, curve in (("roc", "roc"), ("precision-recall", "pr")):
        axes = panel(drawn(key, small), "Congestion")
        (line,) = (line for line in axes.get_lines() if line.get_label() == words.arm("eps-7.89", epsilon=7.89))
        held = small.curves.query(f"arm == 'eps-7.89' and finding == 'congestion' and curve == '{curve}' and seed == 0")
        np.testing.assert_array_equal(np.asarray(line.get_ydata()), held["y"])
        np.testing.assert_array_equal(np.asarray(line.get_xdata()), held["x"])


def test_score_distributions_are_densities_and_one_with_a_hidden_bin_is_left_out(small: Measurements) -> None:
    def areas(tables: Measurements) -> list[float]:
        axes = panel(drawn("score-distributions", tables), "Congestion")
        drawn_steps = [one.get_data() for one in axes.patches if isinstance(one, StepPatch)]
        return [float((np.asarray(steps[0]) * np.diff(steps[1])).sum()) for steps in drawn_steps]

    assert areas(small) == pytest.approx([1.0] * 4)
    scores = small.scores.copy()
    narrow = scores["bin"] % 2 == 1
    merged = scores[~narrow].assign(upto=scores.loc[narrow, "upto"].to_numpy())
    assert areas(replace(small, scores=merged)) == pytest.approx([1.0] * 4)
    hidden = (scores["finding"] == "congestion") & (scores["label"] == 1) & (scores["bin"] == 19)
    scores.loc[hidden & (scores["arm"] == "eps-inf"), "images"] = np.nan
    assert len(areas(replace(small, scores=scores))) == 3


def test_reliability_shows_the_observed_shares(small: Measurements) -> None:
    axes = panel(drawn("reliability", small), "Congestion")
    heights, _ = bars(axes, words.arm("eps-0.29", epsilon=0.29))
    held = small.reliability.query("arm == 'eps-0.29' and finding == 'congestion' and seed == 0")
    np.testing.assert_allclose(heights, held["observed"])


def test_table_1_has_the_counts_both_spreads_and_the_accuracy_differences(
    small: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = FIGURES["table-1"].data(small)
    quantities = {"patients", "images", "cases", "auroc", "auroc_over_trainings", "accuracy_difference"}
    assert set(data["quantity"]) == quantities
    assert set(data["group_by"]) == {"all", "sex", "age"}
    cases = data.query("quantity == 'cases' and finding == 'congestion' and group == 'F'")
    held = small.metrics.query("metric == 'auroc' and finding == 'congestion' and group == 'F'")
    assert cases["value"].tolist() == [held["positives"].iloc[0]]
    area = data.query("quantity == 'auroc' and arm == 'eps-0.29' and group == 'all'")
    assert area[["seed", "pooled_sd"]].to_numpy().tolist() == [[0, 0.04]]
    said = [text for text, _, _ in texts(drawn("table-1", small), monkeypatch)]
    assert f"{area['value'].iloc[0]:.3f}" in said
    assert f"{area['sd'].iloc[0]:.3f} (0.040)" in said
    gap = data.query("quantity == 'accuracy_difference' and arm == 'eps-0.29' and group == '[0,30)'")["value"].iloc[0]
    assert f"{gap:+.3f}".replace("-", "\N{MINUS SIGN}") in said


def test_the_supplementary_tables_are_one_an_arm(small: Measurements, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [text for text, _, _ in texts(drawn("tables-s2-to-s8", small), monkeypatch)]
    titles = ("Not fine-tuned (ε = 0)", "ε = 0.29", "ε = 7.89", "No privacy, matched recipe", "No privacy (ε = ∞)")
    assert {text.replace("\N{NO-BREAK SPACE}", " ") for text in said} >= set(titles)
    assert said.count("Congestion") == said.count("Sensitivity") == len(SMALL_ARMS)
    assert f"{measured.area('eps-0.29', 0.29, 'congestion'):.3f}" in said


def written(tables: Measurements, out: Path) -> dict[str, str]:
    """Write all figures, and give the hash of each file."""
    figures.run({"chest": tables}, out={"chest": out})
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


def test_same_numbers_same_bytes_in_three_files_a_figure_and_one_for_a_telephone(tmp_path: Path) -> None:
    arms = {"eps-1": 1.0, "eps-inf": math.inf}
    groups = {group: share for group, share in measured.GROUPS.items() if group[0] in ("all", "sex")}
    tables = measured.build(arms=arms, findings=SMALL_FINDINGS[:1], groups=groups)
    one, two = (written(tables, tmp_path / name) for name in ("one", "two"))
    assert one == two
    narrow = {f"{key}-narrow.svg" for key, figured in FIGURES.items() if figured.kind == "figure"}
    assert set(one) == {f"{key}.{suffix}" for key in FIGURES for suffix in figures.FORMATS} | narrow
    data = pd.read_csv(tmp_path / "one" / "figure-2.csv", keep_default_na=False)
    assert len(data) == 4 * len(arms)


def test_what_a_study_does_not_have_is_said_and_its_table_is_a_head_alone(tmp_path: Path) -> None:
    groups = {("all", "all"): 1.0, ("sex", "F"): 0.4, ("sex", "M"): 0.6}
    arms = {"eps-inf": math.inf}
    tables = measured.build(arms=arms, findings=SMALL_FINDINGS[:1], groups=groups)
    for key in ("figure-4", "figure-5", "figure-s9"):
        figures.write(FIGURES[key], tables, out=tmp_path)
    for key in ("figure-4", "figure-s9"):
        assert FIGURES[key].draw(tables, width=figures.WIDE) is None
        assert FIGURES[key].missing in (tmp_path / f"{key}.svg").read_text()
        narrow = (tmp_path / f"{key}-narrow.svg").read_text()
        assert all(word in narrow for word in FIGURES[key].missing.split())
        assert len((tmp_path / f"{key}.csv").read_text().splitlines()) == 1
        assert (tmp_path / f"{key}.pdf").read_bytes().startswith(b"%PDF")
    assert "female" in (tmp_path / "figure-5.svg").read_text()


@pytest.mark.parametrize("key", FIGURES)
def test_tables_of_no_rows_draw_nothing(key: str, small: Measurements) -> None:
    assert FIGURES[key].draw(small.only([]), width=figures.WIDE) is None
    assert FIGURES[key].data(small.only([])).empty


def test_a_hidden_number_is_in_no_file(small: Measurements, tmp_path: Path) -> None:
    metrics = small.metrics.copy()
    hidden = (metrics["group"] == "[0,30)") & (metrics["finding"] == "mean")
    secrets = {format(value, ".6f")[:7] for value in metrics.loc[hidden & (metrics["metric"] == "auroc"), "value"]}
    metrics["images_shown"] = np.where(hidden, "<10", "")
    metrics["value_shown"] = np.where(hidden, "too few", "")
    metrics.loc[hidden, ["images", "value", "low", "high", "sd", "pooled_sd"]] = np.nan
    for key in ("figure-4", "table-1"):
        saving.write(FIGURES[key], replace(small, metrics=metrics), out=tmp_path)
    with (tmp_path / "figure-4.csv").open(newline="") as stream:
        held = [row for row in csv.DictReader(stream) if row["group"] == "[0,30)"]
    assert {(row["images"], row["value"]) for row in held} == {("<10", "too few")}
    assert "images_shown" not in held[0]
    assert "<10" in (tmp_path / "table-1.csv").read_text()
    drawn_texts = "".join((tmp_path / name).read_text() for name in ("figure-4.svg", "table-1.svg", "table-1.csv"))
    assert "too few" in drawn_texts
    assert not [secret for secret in secrets if secret in drawn_texts]


def test_shown_texts_take_the_place_of_numbers() -> None:
    table = pd.DataFrame({"images": [5.0, 50.0], "images_shown": ["<10", ""], "value": [math.nan, 0.5]})
    assert rows.handed_on(table).to_dict("list")["images"] == ["<10", 50]


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_no_text_can_be_taken_for_a_formula(cell: str, tmp_path: Path) -> None:
    spreadsheet.write(pd.DataFrame({cell: [cell, "eps-1"], "number": [-1.5, 2.0]}), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as stream:
        head, first, second = csv.reader(stream)
    assert head == [f"'{cell}".replace("\r", " "), "number"]
    assert first == [f"'{cell}".replace("\r", " "), "-1.5"]
    assert second == ["eps-1", "2.0"]


def test_inlined_figures_share_no_id_and_follow_the_theme(small: Measurements) -> None:
    written = figures.as_svg(drawn("figure-4", small))
    inlined = [inline.svg(written, name=name, described="A <b> & c") for name in ("first", "second")]
    ids = [{part.split('"')[0] for part in one.split(' id="')[1:]} for one in inlined]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert "A &lt;b&gt; &amp; c</title>" in inlined[0]
    assert "var(--series-1)" in inlined[0]


@pytest.mark.parametrize("key", FIGURES)
def test_every_colour_follows_the_theme(key: str, small: Measurements) -> None:
    inlined = str(inline.svg(figures.as_svg(drawn(key, small)), name="one", described="What it shows"))
    colours = {f"#{part[:6]}" for part in inlined.split("#")[1:] if _is_hex(part[:6])}
    assert not colours - {"#000000"}
    assert "var(--" in inlined


def _is_hex(text: str) -> bool:
    return len(text) == 6 and all(letter in "0123456789abcdef" for letter in text)


@pytest.mark.parametrize(("shape", "expected"), [((100, 50), (100, 50)), ((400, 800), (144, 288))])
def test_pictures_are_shrunk_never_grown_and_span_all_greys(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    pixels = np.linspace(300, 4000, shape[0] * shape[1]).reshape(shape).astype(np.uint16)
    data = base64.b64decode(inline.png(pixels, longest=288).removeprefix("data:image/png;base64,"))
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown is not None
    assert shown.shape == expected
    assert (shown.min(), shown.max()) == (0, 255)


def test_an_interval_that_leaves_its_value_outside_is_drawn(small: Measurements) -> None:
    outside = replace(small, metrics=small.metrics.assign(high=small.metrics["value"] - 1e-12))
    heights, _ = bars(panel(drawn("figure-5", outside), "AUROC"), "female")
    assert len(heights) == len(SMALL_ARMS) - 1


@pytest.fixture
def folder(small: Measurements, tmp_path: Path) -> Path:
    metrics = small.metrics.assign(group=small.metrics["group"].replace({"F": "NA"}))
    measured.write(replace(small, metrics=metrics), tmp_path / "evaluate")
    return tmp_path / "evaluate"


def test_measurements_are_read_as_written(folder: Path, small: Measurements) -> None:
    held = measurements.read(folder)
    assert "NA" in set(held.metrics["group"])
    assert set(held.metrics["rule"]) == {"", "youden", "specificity"}
    pd.testing.assert_frame_equal(held.curves, small.curves, check_dtype=False)
    np.testing.assert_array_equal(held.metrics["value"], small.metrics["value"])
    assert held.metrics["note"].eq("").all()


def test_measurements_that_cannot_be_read_are_named(folder: Path) -> None:
    (folder / "scores.csv").write_text("arm,epsilon\n")
    with pytest.raises(MeasurementsError, match=r"scores\.csv has no column seed, finding, label.*delete it"):
        measurements.read(folder)
    (folder / "scores.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MeasurementsError, match=r"scores\.csv is not a table"):
        measurements.read(folder)
    (folder / "scores.csv").unlink()
    with pytest.raises(MeasurementsError, match=r"scores\.csv is missing.*snakemake"):
        measurements.read(folder)
