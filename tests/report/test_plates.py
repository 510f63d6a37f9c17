"""The drawings of the page: taken from the folder of figures where they show its numbers, else made."""

import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from unittest import mock

import pytest

from privrad.report import account, figures, leaving, plates, report
from privrad.report.account import Account
from privrad.report.figures import saving
from privrad.report.measurements import Measurements
from tests.report import measured, tree

FEW = [figured for figured in figures.FIGURES if figured.key in ("figure-2", "figure-4", "figure-5", "table-1")]
GROUPS = {("all", "all"): 1.0, ("sex", "F"): 0.002, ("sex", "M"): 0.998}
"""A test set of few women, and of no known age, so that nothing is drawn by age."""
BUDGETS = "0.29, inf"


@pytest.fixture(scope="module", autouse=True)
def _few() -> Iterator[None]:
    with mock.patch.object(saving, "FIGURES", FEW), mock.patch.object(figures, "FIGURES", FEW):
        yield


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> tree.Tree:
    """A private study with its figures."""
    built = tree.build(tmp_path_factory.mktemp("private"), private=True, budgets=BUDGETS, groups=GROUPS)
    draw(built)
    return built


def draw(built: tree.Tree) -> None:
    arguments = {name: value for name, value in built.arguments.items() if name != "study_file"}
    report.figures_of(**arguments)


def given(built: tree.Tree, *, internal: bool = False) -> Account:
    read = account.read(
        "chest", built.study.experiments["chest"], results=built.results, private=built.private, roots=built.roots
    )
    return leaving.shown(read, internal=internal)


def overwritten(built: tree.Tree, folder: Path) -> Path:
    """A copy of the figures in which every drawing says that it was taken."""
    shutil.copytree(built.results / "chest" / "figures", folder)
    for drawing in folder.glob("*.svg"):
        drawing.write_text(drawing.read_text().replace("</svg>", "<text>taken</text></svg>"))
    return folder


def taken(plate: plates.Plate) -> list[bool]:
    return ["taken" in drawing for drawing in (plate.wide, plate.narrow)]


def test_what_leaves_takes_both_drawings_and_the_exact_page_makes_its_own(private: tree.Tree, tmp_path: Path) -> None:
    folder = overwritten(private, tmp_path / "figures")
    leaves, stays = (plates.of(given(private, internal=internal), drawn=folder) for internal in (False, True))
    assert set(leaves) == set(stays) == {"figure-2", "figure-5"}
    assert all(all(taken(plate)) for plate in leaves.values())
    assert not any(any(taken(plate)) for plate in stays.values())


def test_a_drawing_that_is_missing_or_carries_no_mark_is_made(private: tree.Tree, tmp_path: Path) -> None:
    folder = overwritten(private, tmp_path / "figures")
    (folder / "figure-2-narrow.svg").unlink()
    (folder / "figure-5.svg").write_bytes(b"\xff<svg>taken</svg>")
    made = plates.of(given(private), drawn=folder)
    assert taken(made["figure-2"]) == [True, False]
    assert taken(made["figure-5"]) == [False, True]


@pytest.mark.parametrize("internal", [False, True])
def test_a_drawing_is_the_same_taken_or_made(internal: bool, tmp_path: Path) -> None:
    built = tree.build(tmp_path, budgets=BUDGETS, groups=GROUPS)
    shown = given(built, internal=internal)
    made = plates.of(shown)
    draw(built)
    assert plates.of(shown, drawn=built.results / "chest" / "figures") == made
    assert set(made) == {"figure-2", "figure-5"}


@pytest.mark.parametrize("name", [field.name for field in fields(Measurements)])
def test_other_numbers_have_another_mark(name: str) -> None:
    arms = {"eps-0.29": 0.29, "eps-inf": float("inf")}
    tables = measured.build(arms=arms, findings=("congestion", "cardiomegaly"))
    mark, table = figures.mark_of(tables), getattr(tables, name)
    assert figures.mark_of(replace(tables, **{name: table.copy()})) == mark
    assert len(table)
    for column in table:
        changed, kind = table.copy(), table[column].dtype.kind
        other = {"f": 0.123456789, "i": 987, "b": not table[column].iloc[-1]}.get(kind, "other")
        changed.iloc[-1, changed.columns.get_loc(column)] = other
        assert changed[column].dtype == table[column].dtype
        assert figures.mark_of(replace(tables, **{name: changed})) != mark
    assert figures.mark_of(replace(tables, **{name: table.iloc[:-1]})) != mark
    assert figures.mark_of(replace(tables, **{name: table.rename(columns={table.columns[0]: "other"})})) != mark
