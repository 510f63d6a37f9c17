"""Datasheets: one of each layout that loads, and the page of cohorts that repeats them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from privrad.cohorts import aiforcovid, covid_cxr, datasheet, nih_cxr14, openi, rsna_pneumonia, tuberculosis
from privrad.cohorts.tables import CohortError
from privrad.config.cohort import LAYOUTS, UNDER_AGREEMENT

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "resources/datasheets"
NAMES = [name for names in LAYOUTS.values() for name in names]
FINE = (FOLDER / "shenzhen.yaml").read_text(encoding="utf-8")


def tables_of_the_page() -> list[dict[str, list[str]]]:
    """The rows of each table of the page that is by layout: the other cells by the layout."""
    page = (ROOT / "docs/cohorts.md").read_text(encoding="utf-8")
    found = []
    for table in re.findall(r"^\| layout .*\n\|[-|]+\|\n((?:\|.*\n)+)", page, re.M):
        cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
        found.append({row[0].strip("` "): row[1:] for row in cells})
    return found


def test_every_layout_has_a_datasheet_and_no_other_is_there() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_datasheet_loads_names_its_source_and_what_misleads(name: str) -> None:
    sheet = datasheet.read(name, folder=FOLDER)
    assert re.search(r"\(.*\b(doi 10\.\d{4,9}/|arXiv)", sheet.source)
    assert "http" not in sheet.source
    assert sheet.artefacts
    assert "1" in sheet.labels
    assert sheet.patients is None or sheet.images is None or sheet.patients <= sheet.images


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("uka_cxr", "pdac")])
def test_pictures_stay_where_the_datasheet_says_so(name: str) -> None:
    """But for the two layouts that any table may have."""
    assert (name in UNDER_AGREEMENT) == datasheet.read(name, folder=FOLDER).agreement


def test_the_page_of_cohorts_says_what_the_datasheets_say() -> None:
    numbers, places = tables_of_the_page()
    assert sorted(numbers) == sorted(places) == sorted(NAMES)
    for name, row in numbers.items():
        sheet = datasheet.read(name, folder=FOLDER)
        counts = ["–" if count is None else f"{count:,}" for count in (sheet.images, sheet.patients)]
        assert row == [sheet.name, *counts, sheet.licence, "yes" if sheet.agreement else "no"], name


def test_what_each_layout_takes_as_a_label_or_file_is_on_the_page() -> None:
    places = tables_of_the_page()[1]
    read_from = {
        "rsna_pneumonia": (rsna_pneumonia.BOXES, rsna_pneumonia.CLASSES, rsna_pneumonia.MAPPING, rsna_pneumonia.TARGET),
        "openi": (openi.REPORTS[0], openi.PROJECTIONS, *filter(None, openi.PICTURES), *openi.TERMS),
        "aiforcovid": (*aiforcovid.SPLIT, *aiforcovid.PROGNOSES, "imgs_r3"),
        "nih_cxr14": tuple(nih_cxr14.LISTS.values()),
        "shenzhen": (tuberculosis.PICTURES, tuberculosis.READINGS, tuberculosis.LABEL),
        "montgomery": (tuberculosis.PICTURES, tuberculosis.READINGS, tuberculosis.LABEL),
        "covid_cxr": (covid_cxr.TABLE, covid_cxr.COLUMNS["person"], covid_cxr.COLUMNS["patient_id"]),
    }
    for name, words in read_from.items():
        assert [word for word in words if word not in " ".join(places[name])] == [], name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FINE.replace("images: 662", "images: '662'"), "images: Input should be a valid integer"),
        (FINE.replace("images: 662", "images: 0"), "images: Input should be greater than or equal to 1"),
        (FINE.replace("agreement: false", "agreement: 0"), "agreement: Input should be a valid boolean"),
        (FINE.replace("licence:", "license:"), "licence: Field required; license: Extra inputs are not permitted"),
        (FINE.replace("name: Shenzhen Hospital X-ray set", "name: ''"), "name: String should have at least 1"),
        ("- a list\n", "the file: Input should be a valid dictionary"),
        ("", "the file: Input should be a valid dictionary"),
        ("name: [", "is not YAML that can be used"),
        ("name: \udcff", "is not YAML that can be used"),
        ("!!python/object/apply:os.mkdir [touched]", "is not YAML that can be used"),
    ],
)
def test_a_datasheet_that_is_not_one_is_named_with_its_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shenzhen.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(CohortError, match=rf"datasheet {re.escape(str(tmp_path))}/shenzhen.yaml .*{told}"):
        datasheet.read("shenzhen", folder=tmp_path)
    assert not (tmp_path / "touched").exists()


def test_a_datasheet_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"shenzhen.yaml is missing; it is part of privrad's source, in resources"):
        datasheet.read("shenzhen", folder=tmp_path)
