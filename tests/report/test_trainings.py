"""A study of one finding and several trainings: what is called a mean, and what stands of the trainings together."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from privrad import files
from privrad.report import account, accuracy, cards, fairness, figures, guarantees, leaving, sentences, shown, strips
from privrad.report.account import Account
from privrad.report.figures import saving
from privrad.report.measurements import Measurements
from privrad.report.tables import Cell, Table
from tests.report import measured, tree

ARMS = {"eps-0": 0.0, "eps-1": 1.0, "eps-8": 8.0, "eps-inf-matched": math.inf, "eps-inf": math.inf}
GROUPS = {("all", "all"): 1.0, ("sex", "F"): 0.4, ("sex", "M"): 0.6, ("age", "[0,58)"): 0.5, ("age", "[58,inf)"): 0.5}
BY_KEY = {each.key: each for each in figures.FIGURES}


@pytest.fixture(scope="module")
def ours() -> Measurements:
    return measured.build(arms=ARMS, findings=("pdac",), seeds=(0, 1, 2), groups=GROUPS)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Account:
    """The account of such a study, with delta 5e-4 and certificates that state epsilon at 1e-5."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "FINDINGS", ("pdac",))
        patch.setattr(tree, "STUDY", tree.STUDY.replace("delta: 6e-6, noise", "delta: 5e-4, noise"))
        built = tree.build(tmp_path_factory.mktemp("one"), seeds="0, 1, 2", budgets="1.06, 8, inf", groups=GROUPS)
    for path in built.results.glob("chest/finetune/*/*/certificate.json"):
        held = json.loads(path.read_text())
        if "noise" in held:
            other = {"1e-05": 1.4 * held["nominal_epsilon"]}
            files.write_json(path, held | {"other_deltas": None, "nominal_other_deltas": other})
    one = account.read("chest", built.study.experiments["chest"], results=built.results, private=built.private,
                       roots=built.roots)  # fmt: skip
    return leaving.shown(one, internal=False)


def text(cell: Cell) -> str:
    return "".join(str(getattr(piece, "text", piece)) for piece in (*cell.text, *cell.under))


def head(table: Table) -> list[str]:
    return [text(cell) for cell in table.head]


def test_the_number_of_a_single_finding_is_not_called_a_mean(read: Account) -> None:
    made = [accuracy.by_model(read), accuracy.tests(read), accuracy.validation(read), accuracy.published(read, None)]
    made += [fairness.worst(read), fairness.widest(read), fairness.of_arm(read, "eps-8")]
    made += [fairness.by_group(read, "sex"), strips.of_arms(read, shown.lines(read))]
    for table in made:
        caption = "".join(str(getattr(piece, "text", piece)) for piece in table.caption)
        assert "over findings" not in caption
        assert "mean auroc" not in " ".join([caption, *head(table)]).lower(), caption
    assert "Pooled sd" not in head(accuracy.by_model(read))
    told = " ".join(sentences.of(read))
    assert "an AUROC of" in told
    assert "mean AUROC" not in told


def test_the_summary_tells_of_all_trainings(read: Account) -> None:
    table = strips.of_arms(read, shown.lines(read))
    place = head(table).index("Mean over trainings")
    seeds = read.measured.seeds.query("finding == 'mean'").set_index("arm")
    cells = {text(row[0]): row[place] for row in table.rows}
    said = next(cell for name, cell in cells.items() if name.endswith("8"))
    assert text(said) == f"{seeds['mean']['eps-8']:.3f}sd {seeds['sd']['eps-8']:.3f}"
    assert {number.file for number in said.numbers} == {"chest/evaluate/seeds.csv"}
    assert next(text(cell) for name, cell in cells.items() if "not fine-tuned" in name) == "–"
    assert "of the first training" in "".join(map(str, table.caption))
    strictest = next(str(sentence) for sentence in sentences.of(read) if "strictest" in sentence)
    assert "the mean over its" in strictest
    assert f"{seeds['mean']['eps-1.06']:.3f}" in strictest


@pytest.mark.parametrize("shares", [(0.02, 0.02, 0.02), (0.023, 0.02, 0.021)])
def test_what_an_attacker_gains_is_said_over_all_trainings(shares: tuple[float, ...], read: Account) -> None:
    models = []
    for model in read.models:
        held = dict(model.certificate)
        if model.arm.name == "eps-1.06":
            held["nominal_attacker"] = {"true_positive_rate": {"0.01": shares[model.seed]}}
        models.append(replace(model, certificate=held))
    told = guarantees.attacked(replace(read, models=tuple(models))).striptags().replace("\N{NO-BREAK SPACE}", " ")
    span = "2 %" if len(set(shares)) == 1 else "2 % to 2.3 %"
    assert f"at most {span} of those who did (ε = 1.06) or 9 % of those who did (ε = 8)." in told
    assert "seed" not in told


def test_a_figure_of_one_finding_is_no_average(ours: Measurements) -> None:
    several = measured.build(arms=ARMS, findings=("pdac", "atelectasis_left"), groups=GROUPS)
    titles = {key: each.titled(ours) for key, each in BY_KEY.items()}
    assert [titles[key] for key in ("figure-2", "figure-4")] == ["Results", "Results by age"]
    assert not [title for title in titles.values() if "verage" in title]
    assert BY_KEY["figure-4"].titled(several) == "Average results by age"


def test_groups_are_drawn_of_the_first_training_and_said_so(ours: Measurements) -> None:
    said = BY_KEY["figure-4"].caption(ours)
    assert said.endswith("All is of the first training.")
    assert "open dots are further ones" not in said
    assert BY_KEY["figure-2"].caption(ours).endswith("open dots are further ones.")


def test_table_1_counts_what_the_study_has(ours: Measurements, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "FIGURES", (BY_KEY["table-1"],))
    for units in ("images", "scans"):
        figures.run({"pancreas": ours}, out={"pancreas": tmp_path / units}, units=units)
        drawn = (tmp_path / units / "table-1.svg").read_text(encoding="utf-8")
        assert (">Scans<" in drawn, ">Images<" in drawn) == (units == "scans", units == "images")


def test_certificates_are_shown_with_epsilon_at_a_smaller_delta(read: Account) -> None:
    table = guarantees.certificates(read)
    assert head(table)[-1] == "ε nominal at δ = 1 × 10⁻⁵".replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    (numbers,) = {row[-1].numbers[0].column for row in table.rows}
    assert numbers == "/nominal_other_deltas/1e-05"
    assert text(table.rows[-1][-1]) == "11.2"


def test_a_card_has_it_too(read: Account) -> None:
    rows = {text(row[0]): text(row[1]) for row in cards.privacy(read, guarantees.private(read)[-1]).rows}
    assert rows["ε nominal at δ = 1 × 10⁻⁵"] == "11.2"


def test_a_certificate_without_it_has_a_dash(read: Account) -> None:
    model = guarantees.private(read)[0]
    older = {name: value for name, value in model.certificate.items() if "other_deltas" not in name}
    assert guarantees.smaller(read, account.Model(model.arm, model.seed, model.training, older)).text == "–"


def test_figure_2_shows_mean_and_spread_of_the_trainings(ours: Measurements) -> None:
    figure = BY_KEY["figure-2"].draw(ours, width=figures.WIDE)
    assert figure is not None
    axes = figure.axes[0]
    (bars,) = (each for each in axes.containers if str(each.get_label()).startswith("mean and σ"))
    assert isinstance(bars, ErrorbarContainer)
    rows = ours.metrics.query("finding == 'mean' and group_by == 'all' and metric == 'auroc' and arm != 'eps-0'")
    held = rows.groupby("arm", sort=False)["value"].agg(["mean", "std"])
    np.testing.assert_allclose(np.asarray(bars.lines[0].get_ydata(), dtype=float), held["mean"])
    reach = [np.ptp(np.asarray(one)[:, 1]) / 2 for one in bars.lines[2][0].get_segments()]
    np.testing.assert_allclose(reach, held["std"])
    single = measured.build(arms=ARMS, findings=("pdac",), groups=GROUPS)
    alone = BY_KEY["figure-2"].draw(single, width=figures.WIDE)
    assert alone is not None
    assert not [each for each in alone.axes[0].containers if str(each.get_label()).startswith("mean and σ")]


def test_table_1_has_mean_and_spread_of_the_trainings_by_group(ours: Measurements) -> None:
    table = BY_KEY["table-1"].data(ours)
    mine = table[table["quantity"] == "auroc_over_trainings"].set_index(["arm", "group"])
    assert set(mine.index) == {(arm, group) for arm in ARMS if arm != "eps-0" for _, group in GROUPS}
    values = [measured.area("eps-1", 1.0, "mean", "F", seed) for seed in (0, 1, 2)]
    (row,) = mine[mine.index == ("eps-1", "F")].to_dict("records")
    assert (row["value"], row["training_sd"]) == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))
    figure = BY_KEY["table-1"].draw(ours, width=figures.WIDE)
    assert figure is not None
    said = [each.get_text() for each in figure.texts]
    assert "AUROC, mean over trainings; below: σ between trainings" in said
    assert "AUROC of the first training; below: sampling σ" in said
    assert not [each for each in said if "pooled" in each or "findings" in each]


def test_a_training_that_is_hidden_hides_the_mean_over_trainings(ours: Measurements) -> None:
    own = (ours.metrics["group"] == "F") & (ours.metrics["seed"] == 1) & (ours.metrics["metric"] == "auroc")
    metrics = ours.metrics.assign(value_shown=np.where(own, "too few", ""))
    metrics.loc[own, "value"] = np.nan
    table = BY_KEY["table-1"].data(Measurements(**{**vars(ours), "metrics": metrics}))
    mine = table[table["quantity"] == "auroc_over_trainings"]
    women = mine["group"] == "F"
    assert mine.loc[women, ["value", "training_sd"]].isna().all(axis=None)
    assert set(mine.loc[women, "value_shown"]) == {"too few"}
    assert mine.loc[~women, "value"].notna().all()


@pytest.mark.parametrize("key", ["figure-2", "figure-3", "figure-4", "trade-offs", "table-1"])
def test_captions_speak_of_findings_and_trainings_where_there_are_several(key: str, ours: Measurements) -> None:
    plain = measured.build(arms=ARMS, findings=("congestion", "cardiomegaly"), groups=GROUPS)
    one, several = BY_KEY[key].caption(ours), BY_KEY[key].caption(plain)
    assert "training" in one
    assert "first training" not in several
    if key != "figure-3":
        assert "findings" in several
        assert "findings" not in one
    assert not any(letter.isdigit() for letter in one + several)


def test_one_finding_makes_no_scatter(ours: Measurements) -> None:
    none = Measurements(**{**vars(ours), "correlation_points": ours.correlation_points.iloc[:0]})
    assert BY_KEY["figure-s9"].draw(none, width=figures.WIDE) is None
    assert BY_KEY["figure-s9"].data(none).empty
