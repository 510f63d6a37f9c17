"""A private study of which nothing measured may leave, held against the publication: what its page and files say."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from privrad import config, files
from privrad.report import accuracy, figures, report, words
from privrad.report.figures import saving
from privrad.verify import report as verified
from privrad.verify.report import Number, Page
from tests.report import ct_tree, tree

RESOURCES = Path("resources/published").resolve()
PUBLISHED = "pancreas/figures/published.csv"
ALL_SMALL = "compare: pdac\n    evaluation: {redraws: 200, minimum_cell: 5000}"
"""More than the images of the made-up test set, so that each count of it is small."""


@pytest.fixture(scope="module")
def withheld(tmp_path_factory: pytest.TempPathFactory) -> tuple[tree.Tree, Path]:
    """The study and its page, with the figure of the published results alone."""
    built = ct_tree.build(tmp_path_factory.mktemp("withheld"), private=True)
    text = built.study_file.read_text(encoding="utf-8")
    assert "evaluation: {redraws: 200}" in text
    built.study_file.write_text(text.replace("evaluation: {redraws: 200}", ALL_SMALL), encoding="utf-8")
    built = replace(built, study=config.load(built.study_file))
    for path in built.results.glob("pancreas/finetune/eps-0.29/*/certificate.json"):
        held, other = json.loads(path.read_text(encoding="utf-8")), {"1e-05": 0.4}
        files.write_json(path, held | {"other_deltas": other, "nominal_other_deltas": other})
    arguments = {name: value for name, value in built.arguments.items() if name != "study_file"}
    out = built.results / "report.html"
    with mock.patch.object(saving, "FIGURES", ()), mock.patch.object(figures, "FIGURES", ()):
        report.figures_of(**arguments, published=RESOURCES)
        report.run(**built.arguments, out=out, published=RESOURCES)
    return built, out


def numbers(page: Path, file: str) -> list[Number]:
    return [one for one in Page(page.read_text(encoding="utf-8")).numbers if one.file == file]


def test_its_page_holds(withheld: tuple[tree.Tree, Path]) -> None:
    built, page = withheld
    text = built.study_file.read_text(encoding="utf-8")
    found = verified.checks(built.results, page=page, name=page.name, study=built.study, study_text=text)
    assert [check for check in found if not check.holds] == []


def test_what_goes_with_a_withheld_auroc_is_no_dash(withheld: tuple[tree.Tree, Path]) -> None:
    measured = numbers(withheld[1], "pancreas/evaluate/metrics.csv")
    said = {one.text for one in measured if "finding=mean" in one.row and one.column in ("value", "sd", "degenerate")}
    assert {one.column for one in measured} >= {"value", "sd", "degenerate"}
    assert said
    assert said <= {words.WITHHELD, words.TOO_FEW}


def test_the_page_and_the_file_have_the_same_rows(withheld: tuple[tree.Tree, Path]) -> None:
    built, page = withheld
    with (built.results / PUBLISHED).open(newline="") as stream:
        held = list(csv.DictReader(stream))
    ours = [one.text for one in numbers(page, PUBLISHED) if one.column == "ours"]
    assert ours == [row["ours"] for row in held]
    assert len(ours) > 3
    assert set(ours) <= {words.WITHHELD, words.TOO_FEW}
    assert {row["ours_low"] + row["ours_sampling_sd"] + row["difference"] for row in held} == {""}
    assert "or ours cannot be shown" in (built.results / PUBLISHED).with_suffix(".svg").read_text(encoding="utf-8")


def test_a_withheld_verdict_is_none() -> None:
    row = {"value": float("nan"), "value_shown": words.WITHHELD, "noninferior": float("nan")}
    assert accuracy._verdict(row, "noninferior") == words.WITHHELD
    assert accuracy._verdict(row | {"value_shown": ""}, "noninferior") == words.DASH
    assert accuracy._verdict(row | {"noninferior": False}, "noninferior") == "not demonstrated"
