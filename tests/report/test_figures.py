"""The figures: what stands where, and the same bytes every time."""

import base64
import math
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from privrad.report import figures, inline

ARMS = {"eps-0": 0.0, "eps-0.29": 0.29, "eps-7.89": 7.89, "eps-inf-matched": math.inf, "eps-inf": math.inf}
GROUPS = [("all", "all"), ("sex", "F"), ("sex", "M"), ("age", "[0,30)"), ("age", "[30,60)")]


@pytest.fixture
def metrics() -> pd.DataFrame:
    rows = [
        {"arm": arm, "epsilon": epsilon, "seed": seed, "finding": finding, "group_by": by, "group": group, "note": ""}
        | {"value": 0.6 + 0.05 * order, "low": 0.57 + 0.05 * order, "high": 0.63 + 0.05 * order}
        for order, (arm, epsilon) in enumerate(ARMS.items())
        for seed in (0, 1)
        for finding in ("mean", "cardiomegaly", "atelectasis_left")
        for by, group in GROUPS
    ]
    return pd.DataFrame(rows)


def test_budgets_stand_by_their_logarithm_and_the_ends_beside_them(metrics: pd.DataFrame) -> None:
    at = figures.places(metrics)
    assert at.of_arm["eps-7.89"] - at.of_arm["eps-0.29"] == pytest.approx(math.log10(7.89 / 0.29))
    order = ["eps-0", "eps-0.29", "eps-7.89", "eps-inf", "eps-inf-matched"]
    assert sorted(at.of_arm, key=lambda arm: at.of_arm[arm]) == order
    assert at.ticks(few=False)[1] == ["0", "0.29", "7.89", "∞"]


def test_the_curve_is_the_first_seeds_numbers(metrics: pd.DataFrame) -> None:
    metrics.loc[metrics["seed"] == 1, ["value", "low", "high"]] -= 0.02
    axes = figures.auroc_against_epsilon(metrics, width=10).axes[0]
    line = next(line for line in axes.get_lines() if line.get_label() == "private, with interval")
    np.testing.assert_allclose(np.asarray(line.get_ydata(), dtype=float), [0.65, 0.70])
    further = axes.get_lines()[-1]
    np.testing.assert_allclose(np.sort(np.asarray(further.get_ydata(), dtype=float)), [0.58, 0.63, 0.68, 0.73, 0.78])
    assert axes.get_ylim() == (0.5, 1.0)


def test_an_auroc_below_chance_is_not_cut_off(metrics: pd.DataFrame) -> None:
    metrics["low"] -= 0.2
    assert figures.auroc_against_epsilon(metrics, width=10).axes[0].get_ylim()[0] == pytest.approx(0.35)


def test_a_panel_a_finding_and_a_panel_a_column(metrics: pd.DataFrame) -> None:
    titles = [axes.get_title(loc="left") for axes in figures.by_finding(metrics, width=10).axes]
    assert titles == ["Cardiomegaly", "Atelectasis left"]
    panels = figures.by_group(metrics, columns=["sex", "age"], width=10).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["By sex", "By age"]
    legend = panels[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["under 30 years", "30 to 59 years"]


def test_a_group_keeps_its_colour_when_another_cannot_be_shown(metrics: pd.DataFrame) -> None:
    def colour(table: pd.DataFrame) -> object:
        drawn = figures.by_group(table, columns=["age"], width=10).axes[0].containers
        (bars,) = (bars for bars in drawn if bars.get_label() == "30 to 59 years")
        assert isinstance(bars, ErrorbarContainer)
        return bars.lines[0].get_color()

    hidden = metrics.copy()
    hidden.loc[hidden["group"] == "[0,30)", "value"] = np.nan
    assert colour(metrics) == colour(hidden) == figures.SERIES[1]


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_same_numbers_same_bytes(metrics: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    for name in ("one", "two"):
        figures.save(figures.auroc_against_epsilon(metrics, width=10), tmp_path / f"{name}{suffix}")
    one, two = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
    assert one == two
    assert len(one) > 5000


def test_inlined_figures_share_no_id_and_follow_the_theme(metrics: pd.DataFrame) -> None:
    drawn = [
        inline.svg(figures.auroc_against_epsilon(metrics, width=10), name=name, described="A <b> & c")
        for name in ("first", "second")
    ]
    ids = [{part.split('"')[0] for part in one.split(' id="')[1:]} for one in drawn]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert "A &lt;b&gt; &amp; c</title>" in drawn[0]
    assert "var(--budget)" in drawn[0]
    assert not [colour for colour in inline.THEMED.values() if colour in drawn[0]]


@pytest.mark.parametrize(("shape", "expected"), [((100, 50), (100, 50)), ((400, 800), (144, 288))])
def test_pictures_are_shrunk_never_grown_and_span_all_greys(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    pixels = np.linspace(300, 4000, shape[0] * shape[1]).reshape(shape).astype(np.uint16)
    data = base64.b64decode(inline.png(pixels, longest=288).removeprefix("data:image/png;base64,"))
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown is not None
    assert shown.shape == expected
    assert (shown.min(), shown.max()) == (0, 255)


def test_an_interval_that_leaves_its_value_outside_is_drawn(metrics: pd.DataFrame) -> None:
    metrics["high"] = metrics["value"] - 1e-12
    figures.auroc_against_epsilon(metrics, width=10)
    figures.by_group(metrics, columns=["sex", "age"], width=4)
