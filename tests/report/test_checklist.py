"""Reporting checklists: every item once, filled in where the study knows, blank where only a human does."""

import dataclasses
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest
from markdown_it import MarkdownIt

from privrad.report import account, checklist, figures, leaving, page, report
from privrad.report.account import Account
from privrad.report.answers import ANSWERS
from privrad.report.markdown import BLANK, Paper
from tests.report import tree

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
TRIPOD_AI = (
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 16 17 "
    "18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
)
NUMBERS = {"tripod_ai": TRIPOD_AI.split(), "claim_2024": [str(number) for number in range(1, 45)]}
Made = tuple[tree.Tree, Account, list[Paper]]


def read(built: tree.Tree) -> Account:
    experiment = built.study.experiments["chest"]
    exact = account.read("chest", experiment, results=built.results, private=built.private, roots=built.roots)
    return leaving.shown(exact, internal=False)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Made:
    built = tree.build(tmp_path_factory.mktemp("seeded"), budgets="0.29, inf")
    held = read(built)
    return built, held, checklist.of(held, study="demo")


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Made:
    built = tree.build(tmp_path_factory.mktemp("private"), private=True, budgets="0.29")
    held = read(built)
    return built, held, checklist.of(held, study="demo")


def items(text: str) -> dict[str, str]:
    """What stands under each item, by its number."""
    parts = re.split(r"^### (\S+) .*$", text.replace("\N{NO-BREAK SPACE}", " "), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", checklist.CHECKLISTS)
def test_every_item_stands_once_and_in_order(name: str) -> None:
    assert [item.item for item in checklist.read(name).items] == NUMBERS[name]


@pytest.mark.parametrize("name", checklist.CHECKLISTS)
def test_every_item_is_answered_or_asked(name: str) -> None:
    for item in checklist.read(name).items:
        assert item.answered or item.ask, item
        assert bool(item.ask) == bool(item.by), item
        assert item.section in ("", *page.CONTENTS, *checklist.WHOLE_PAGE), item
        assert bool(item.section) or not item.answered, item
        assert set(item.answers) <= set(ANSWERS), item
        assert 0 < len(item.topic) <= 60, item


def test_no_answer_is_made_in_vain() -> None:
    used = {name for each in checklist.CHECKLISTS for item in checklist.read(each).items for name in item.answers}
    assert used == set(ANSWERS)


def test_every_item_reaches_the_page(seeded: Made) -> None:
    for name, paper in zip(checklist.CHECKLISTS, seeded[2], strict=True):
        held = items(paper.text)
        assert list(held) == NUMBERS[name]
        for item in checklist.read(name).items:
            assert held[item.item].count(f":* {BLANK}") == bool(item.ask)
            assert re.sub(r"\[Report: .*\)|\*To be filled.*", "", held[item.item]).strip() or not item.answered, item


def test_counts_add_up(seeded: Made) -> None:
    for name, paper in zip(checklist.CHECKLISTS, seeded[2], strict=True):
        said = re.search(r"study: (\d+)\. In part: (\d+)\. By a human alone: (\d+)\.", paper.text)
        assert said is not None
        assert sum(map(int, said.groups())) == len(NUMBERS[name])
        alone = [item for item in checklist.read(name).items if not item.answered]
        assert int(said[3]) == len(alone)


class Ids(HTMLParser):
    """The ids of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value or "" for name, value in attrs if name == "id"}


def test_links_lead_to_sections_of_the_report(seeded: Made) -> None:
    built, _, papers = seeded
    out = built.results / "report.html"
    with mock.patch.object(figures, "FIGURES", ()), mock.patch.object(checklist, "of", return_value=papers):
        report.run(**built.arguments, out=out)
    ids = Ids(out.read_text(encoding="utf-8")).found
    for paper in papers:
        found = re.findall(r"\]\(([^)]*)\)", paper.text)
        assert found
        for path, _, anchor in (link.partition("#") for link in found):
            assert ((built.results / paper.path).parent / Path(path)).resolve() == out.resolve()
            assert anchor in ids, anchor


def test_numbers_are_those_of_the_report(seeded: Made) -> None:
    held = items(seeded[2][0].text)
    assert "256" in held["7"]
    assert "Resized to 64 × 64 pixels" in held["7"]
    assert "95 % intervals, from 200 bootstrap redraws of patients" in held["12e"]
    assert "images found: 814; accepted: 800, of patients: 400; prepared: 12." in held["20a"]
    assert "| ε = 0.29 |" in held["23a"]
    assert "Seeded noise: no training of this study guarantees anything." in held["26"]


def test_small_cells_of_a_private_cohort_stay_in(private: Made) -> None:
    built, _, papers = private
    for paper in papers:
        assert "| age: under 30 years | &lt;10 |" in paper.text
        assert "unknown label (&lt;10)" in paper.text
        assert "eeded noise" not in paper.text
        assert str(built.study_file.parent) not in paper.text


def test_a_table_stands_once_and_is_pointed_to(seeded: Made) -> None:
    for paper in seeded[2]:
        blocks = paper.text.split("\n\n")
        tables = [(caption, block) for caption, block in pairwise(blocks) if block.startswith("| ")]
        assert len(tables) == len(set(tables)) > 4
    assert "See item 10." in items(seeded[2][0].text)["21"]


def test_text_of_the_study_stays_text(seeded: Made) -> None:
    held = seeded[1]
    nasty = "x | <script>alert(1)</script> [a](http://e.org)\n# head"
    cohorts = []
    for cohort in held.cohorts:
        labels = dict.fromkeys(cohort.declared.labels, nasty)
        declared = cohort.declared.model_copy(update={"id": nasty, "labels": labels})
        reasons = [nasty if reason else "" for reason in cohort.flow["reason"]]
        cohorts.append(dataclasses.replace(cohort, declared=declared, flow=cohort.flow.assign(reason=reasons)))
    hostile = dataclasses.replace(held, cohorts=tuple(cohorts))
    for paper in checklist.of(hostile, study=nasty):
        tokens = PARSER.parse(paper.text)
        assert nasty.split()[2] in paper.text.replace("\\|", "|").replace("&lt;", "<").replace("&gt;", ">")
        assert not [token for token in tokens if token.type == "html_block"]
        inline = [child for token in tokens for child in token.children or []]
        assert not [child for child in inline if child.type == "html_inline"]
        links = {str(child.attrGet("href")) for child in inline if child.type == "link_open"}
        assert {link for link in links if not link.startswith("../../report.html#")} <= {
            checklist.read(name).address for name in checklist.CHECKLISTS
        }


def test_what_the_study_does_not_have_is_said(seeded: Made) -> None:
    held = seeded[1]
    models = tuple(model for model in held.models if model.arm.recipe != "private")
    groups = held.measured.metrics[held.measured.metrics["group_by"] == "all"]
    bare = dataclasses.replace(
        held,
        experiment=held.experiment.model_copy(
            update={
                "pretraining": None,
                "training": held.experiment.training.model_copy(update={"positive_weights": "none"}),
                "split": held.experiment.split.model_copy(update={"private": held.experiment.split.public}),
                "seeds": (0, 1),
            }
        ),
        models=models,
        measured=dataclasses.replace(held.measured, metrics=groups),
    )
    tripod, claim = (items(paper.text) for paper in checklist.of(bare, study="demo"))
    assert "To develop models, and to evaluate how accurate and how fair they are." in tripod["4"]
    assert "From random weights." in tripod["12c"]
    assert "No training of this study is private." in tripod["12c"]
    assert "Positive and negative labels count alike in the loss." in tripod["13"]
    assert "Not examined: the predictions name no groups." in tripod["14"]
    assert "as the cohort's own table says" in tripod["12a"]
    assert "No model of this study is private." in tripod["22"]
    assert "Each arm was trained with 2 seeds." in claim["30"]
