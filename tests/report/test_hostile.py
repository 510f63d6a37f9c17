"""Values of the data that are written to do harm: each stays text in drawings, tables and spreadsheets."""

import csv
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from unittest import mock

import pytest

from privrad.report import figures, report, words
from tests.report import measured, tree

VALUES = (
    *("=HYPERLINK(1)", "<script>alert(1)</script>", '" onmouseover="alert(1)', "a|b", "--><svg onload=alert(1)>"),
    *(
        "new\nline",
        "\u202egnp.exe",
        "$\\nothing{$",
        "nul\x00\x01",
        "</title><img src=x>",
        "@cmd",
        ";k=v%3D",
        "L" * 10_000,
    ),
)
GROUPS = {("all", "all"): 1.0, **{("sex", value): 1 / len(VALUES) for value in VALUES}}
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]")


def test_a_value_of_the_data_is_one_short_line() -> None:
    assert words.group("site", "\u202eEast\x00\n wing") == "East wing"
    assert words.group("site", "L" * 10_000) == "L" * 59 + "…"
    assert words.group("sex & site", "F & \u202eEast") == "female, East"


@pytest.mark.parametrize("key", ["figure-5", "table-1"])
def test_drawings_and_spreadsheets_hold_values_as_text(key: str, tmp_path: Path) -> None:
    made = measured.build(arms={"eps-1": 1.0, "eps-inf": float("inf")}, groups=GROUPS)
    (figured,) = [each for each in figures.FIGURES if each.key == key]
    figures.write(figured, made, out=tmp_path)
    drawn = ElementTree.parse(tmp_path / f"{key}.svg")
    tags = {element.tag.rpartition("}")[2] for element in drawn.iter()}
    assert not tags & {"script", "img", "image", "foreignObject", "a"}
    assert not [name for element in drawn.iter() for name in element.attrib if name.startswith("on")]
    text = " ".join(drawn.getroot().itertext())
    assert "<script>alert(1)</script>" in text
    assert "$\\nothing{$" in text
    assert not UNSEEN.search(text)
    with (tmp_path / f"{key}.csv").open(newline="", encoding="utf-8") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert "'=HYPERLINK(1)" in cells
    assert not [cell for cell in cells if re.match(r"[=+@\t\r]|-(?![\d.])", cell)]


def test_the_page_and_its_papers_hold_values_as_text(tmp_path: Path) -> None:
    built = tree.build(tmp_path, budgets="0.29", groups=GROUPS)
    with mock.patch.object(figures, "FIGURES", ()):
        report.run(**built.arguments, out=built.results / "report.html")
    page = (built.results / "report.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert not re.search(r"<[^>]*\son\w+=(?!&)", re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL))
    shown = re.sub(r"<[^>]*>", "", page.split("<main")[1].split("</main>")[0])
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert not UNSEEN.search(shown)
    assert "L" * 60 not in shown
    (card,) = (built.results / "chest/cards").rglob("README.md")
    rows = [line for line in card.read_text(encoding="utf-8").split("\n") if "HYPERLINK" in line or "a\\|b" in line]
    assert len(rows) >= 2
    assert not UNSEEN.search(card.read_text(encoding="utf-8").replace("\n", ""))
    assert "<script>" not in card.read_text(encoding="utf-8")
