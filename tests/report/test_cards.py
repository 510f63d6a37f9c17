"""Model cards: who gets one, what it says, what it must not say, and that its front matter parses."""

import contextlib
import dataclasses
import io
import re
import shlex
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from privrad import cli
from privrad.report import account, cards, leaving, shown, words
from privrad.report.account import Account
from privrad.report.markdown import Paper
from privrad.training import checkpoint
from tests.report import tree

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
SECTIONS = (
    *("Model Details", "Uses", "Bias, Risks, and Limitations", "How to Get Started with the Model"),
    *("Training Details", "Evaluation", "Model Examination", "Environmental Impact", "Technical Specifications"),
    *("Citation", "Glossary", "More Information", "Model Card Authors", "Model Card Contact"),
)


def read(built: tree.Tree, *, internal: bool = False) -> Account:
    experiment = built.study.experiments["chest"]
    exact = account.read("chest", experiment, results=built.results, private=built.private, roots=built.roots)
    return leaving.shown(exact, internal=internal)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Account:
    return read(tree.build(tmp_path_factory.mktemp("seeded"), budgets="0.29, 7.89"))


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Account:
    return read(tree.build(tmp_path_factory.mktemp("private"), private=True, seeds="0, 1", budgets="0.29, inf"))


@pytest.fixture(scope="module")
def seeded_cards(seeded: Account) -> list[Paper]:
    return cards.of(seeded, study="demo")


@pytest.fixture(scope="module")
def private_cards(private: Account) -> list[Paper]:
    return cards.of(private, study="demo")


def facts(text: str) -> dict[str, Any]:
    """The front matter, found as the Hub finds it."""
    matter = re.match(r"---\n([\S\s]*?)\n---(\n|$)", text)
    assert matter is not None
    held = yaml.safe_load(matter[1])
    assert isinstance(held, dict)
    return held


def body(text: str) -> str:
    return text.split("\n---\n", 1)[1]


def headings(text: str, *, tag: str) -> list[str]:
    found = PARSER.parse(body(text))
    return [
        found[place + 1].content
        for place, token in enumerate(found)
        if (token.type, token.tag) == ("heading_open", tag)
    ]


def blocks(text: str, language: str) -> list[str]:
    return [token.content for token in PARSER.parse(body(text)) if token.type == "fence" and token.info == language]


def test_each_private_training_has_a_card_and_no_other(seeded_cards: list[Paper], private_cards: list[Paper]) -> None:
    seeded, private = ([paper.path for paper in papers] for papers in (seeded_cards, private_cards))
    assert seeded == [f"chest/cards/eps-{epsilon}/seed-0/README.md" for epsilon in ("0.29", "7.89")]
    assert private == [f"chest/cards/eps-0.29/seed-{seed}/README.md" for seed in (0, 1)]
    assert [paper.title.replace(words.NBSP, " ") for paper in private_cards] == [
        f"Model card: chest, ε = 0.29, seed {seed}" for seed in (0, 1)
    ]


def test_sections_stand_in_the_order_of_the_template(seeded_cards: list[Paper]) -> None:
    text = seeded_cards[0].text
    assert headings(text, tag="h2") == list(SECTIONS)
    assert headings(text, tag="h1") == [f"Model card: demo chest ε{words.NBSP}={words.NBSP}0.29"]


def test_seeded_noise_is_told_before_all_else(seeded_cards: list[Paper]) -> None:
    for paper in seeded_cards:
        tokens = PARSER.parse(body(paper.text))
        assert [token.type for token in tokens[:4]] == ["heading_open", "inline", "heading_close", "blockquote_open"]
        assert tokens[5].content.startswith("**Seeded noise: not for release.**")
        assert cards.NOT_FOR_RELEASE in facts(paper.text)["tags"]
        assert "| ε guaranteed | none: the noise is seeded |" in paper.text


def test_a_released_model_states_its_epsilon(private_cards: list[Paper]) -> None:
    for paper in private_cards:
        assert cards.NOT_FOR_RELEASE not in paper.text
        assert "eeded noise" not in paper.text
        assert "| ε guaranteed | 0.29 |" in paper.text


def test_the_front_matter_has_what_the_hub_asks_for(private_cards: list[Paper]) -> None:
    held = facts(private_cards[0].text)
    assert (held["license"], held["license_name"]) == ("other", "to-be-chosen")
    assert (held["language"], held["library_name"], held["pipeline_tag"]) == ("en", "privrad", "image-classification")
    assert held["datasets"] == ["hospital", "drawn_public"]
    [model] = held["model-index"]
    [result] = model["results"]
    assert model["name"] == "demo-chest-eps-0.29-seed-0"
    assert result["task"]["type"] == "image-classification"
    assert (result["dataset"]["type"], result["dataset"]["split"]) == ("hospital", "test")
    assert {metric["type"] for metric in result["metrics"]} == set(held["metrics"])


def test_values_are_those_of_the_report_of_this_seed(private: Account, private_cards: list[Paper]) -> None:
    metrics = private.measured.metrics
    metrics = metrics[(metrics["arm"] == "eps-0.29") & (metrics["group_by"] == "all") & (metrics["finding"] == "mean")]
    for seed, paper in enumerate(private_cards):
        [mean] = metrics[(metrics["seed"] == seed) & (metrics["metric"] == "auroc")]["value"]
        index = facts(paper.text)["model-index"][0]["results"][0]["metrics"]
        assert {"type": "roc_auc", "name": "AUROC, mean over findings", "value": round(mean, 3)} in index
        assert re.search(rf"\| Mean over findings \| {words.auroc(mean)} \(", paper.text)


def test_the_sensitivity_is_that_of_the_threshold_of_the_study(seeded: Account) -> None:
    names = [metric["name"] for metric in cards.index(seeded, shown_model(seeded))]
    assert names.count("Sensitivity, cardiomegaly") == 1
    metrics = seeded.measured.metrics
    chosen = metrics[(metrics["metric"] == "sensitivity") & (metrics["finding"] == "cardiomegaly")]
    chosen = chosen[(chosen["arm"] == "eps-0.29") & (chosen["group_by"] == "all") & (chosen["rule"] == "youden")]
    found = {metric["name"]: metric["value"] for metric in cards.index(seeded, shown_model(seeded))}
    assert found["Sensitivity, cardiomegaly"] == round(float(chosen["value"].iloc[0]), 3)


def shown_model(held: Account) -> account.Model:
    return next(model for model in held.models if shown.protection(model) in ("protected", "seeded"))


@pytest.mark.parametrize("said", ["withheld", "too few", "> 0.90"])
def test_what_is_hidden_stays_hidden(private: Account, said: str) -> None:
    metrics = private.measured.metrics.copy()
    one = (metrics["finding"] == "cardiomegaly") & (metrics["metric"] == "auroc") & (metrics["group_by"] == "all")
    hidden = words.auroc(float(metrics.loc[one & (metrics["arm"] == "eps-0.29"), "value"].iloc[0]))
    metrics.loc[one, ["value", "low", "high", "sd"]] = np.nan
    metrics.loc[one, "value_shown"] = said
    masked = dataclasses.replace(private, measured=dataclasses.replace(private.measured, metrics=metrics))
    text = cards.card(masked, shown_model(masked), study="demo")
    names = [metric["name"] for metric in facts(text)["model-index"][0]["results"][0]["metrics"]]
    assert "AUROC, cardiomegaly" not in names
    assert "AUROC, congestion" in names
    [row] = [line for line in text.splitlines() if line.startswith("| Cardiomegaly | ") and "to" in line]
    assert row.split(" | ")[1] == said.replace(">", "&gt;")
    assert f"| Cardiomegaly | {hidden}" not in text


def test_small_cells_and_paths_of_a_private_cohort_stay_in(private: Account, private_cards: list[Paper]) -> None:
    cohort = next(cohort for cohort in private.cohorts if cohort.role == "private")
    for paper in private_cards:
        assert "| age: under 30 years | &lt;10 |" in paper.text
        assert str(cohort.root.parent) not in paper.text
        assert not [image for image in cohort.prepared.image_ids if image in paper.text]


def test_same_account_same_bytes(private: Account, private_cards: list[Paper]) -> None:
    assert cards.of(private, study="demo") == private_cards


NASTY = "x: y\n---\nlicense: mit\n# [a](http://e.org) | <script>alert(1)</script> `c` \u2028 {{ 7 }} '\""


@pytest.fixture(scope="module")
def nasty(private: Account) -> Paper:
    """A card in which every text that may come from data is hostile."""
    metrics, fairness = private.measured.metrics.copy(), private.measured.fairness.copy()
    for table in (metrics, fairness):
        table.loc[table["group_by"] == "bedside", "group"] = NASTY
        table.loc[table["group_by"] == "findings", "group_by"] = NASTY
    measured = dataclasses.replace(private.measured, metrics=metrics, fairness=fairness)
    cohorts = []
    for cohort in private.cohorts:
        flow = cohort.flow.assign(reason=[NASTY if reason else "" for reason in cohort.flow["reason"]])
        balance = cohort.balance.assign(value=[NASTY if "[" in value else value for value in cohort.balance["value"]])
        declared = cohort.declared.model_copy(update={"id": NASTY})
        cohorts.append(dataclasses.replace(cohort, flow=flow, balance=balance, declared=declared))
    models = [
        dataclasses.replace(
            model, certificate={**model.certificate, "versions": {NASTY: NASTY}, "not_covered": [NASTY]}
        )
        for model in private.models
    ]
    hostile = dataclasses.replace(private, measured=measured, cohorts=tuple(cohorts), models=tuple(models))
    return cards.of(hostile, study=NASTY)[0]


def test_no_text_breaks_the_front_matter(nasty: Paper) -> None:
    held = facts(nasty.text)
    assert held["license"] == "other"
    assert held["datasets"] == [" ".join(NASTY.split())] * 2
    assert held["model-index"][0]["name"].startswith("x: y --- license: mit")
    assert nasty.text.index("\n---\n\n# Model card: ") == nasty.text.index("\n---\n")


def test_no_text_becomes_markup(nasty: Paper) -> None:
    tokens = PARSER.parse(body(nasty.text))
    assert not [token for token in tokens if token.type == "html_block"]
    inline = [child for token in tokens for child in token.children or []]
    assert {child.content for child in inline if child.type == "html_inline"} <= {"<code>", "</code>"}
    links = {child.attrGet("href") for child in inline if child.type == "link_open"}
    assert links == {"https://doi.org/10.1038/s43856-024-00462-6"}
    assert headings(nasty.text, tag="h2") == list(SECTIONS)


def test_its_commands_are_those_of_the_command_line(private_cards: list[Paper]) -> None:
    [script] = blocks(private_cards[0].text, "sh")
    lines = script.replace("\\\n", " ").strip().splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    assert [words[0] for words in found] == ["privrad"] * 3
    parsed = [cli._parser().parse_args(words[1:]) for words in found]
    assert [each.name for each in parsed] == ["verify", "predict", "evaluate"]
    assert (parsed[1].experiment, parsed[1].arm, parsed[1].seed) == ("chest", "eps-0.29", 0)


def test_its_python_scores_a_radiograph(
    private: Account, private_cards: list[Paper], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = private.experiment
    architecture = checkpoint.Architecture.of(experiment.model, activation="mish", findings=experiment.findings)
    checkpoint.save(tmp_path / "model.safetensors", architecture.build(seed=3), architecture=architecture)
    encoded, picture = cv2.imencode(".png", tree.chest(np.random.default_rng(0), size=120))
    assert encoded
    (tmp_path / "radiograph.dcm").write_bytes(picture.tobytes())
    [script] = blocks(private_cards[0].text, "python")
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(script, "card", "exec"), {})
    lines = dict(line.split(": ") for line in said.getvalue().splitlines())
    assert tuple(lines) == experiment.findings
    assert all(0 < float(score) < 1 for score in lines.values())


def test_what_only_a_human_knows_is_left_blank(private_cards: list[Paper]) -> None:
    text = private_cards[0].text
    for line in ("Developed by", "License", "Hours used", "Carbon Emitted"):
        assert re.search(rf"- \*\*{line}:\*\* \*To be filled in by .+:\* ____", text)
    assert text.rstrip().endswith("*To be filled in by the hospital:* ____")


def test_a_study_without_private_training_has_no_card(seeded: Account) -> None:
    models = tuple(model for model in seeded.models if model.arm.recipe != "private")
    assert cards.of(dataclasses.replace(seeded, models=models), study="demo") == []
