"""The report in real headless Chromium: nothing leaves it, nothing is cut, nothing complains, all of it works.

PRIVRAD_REPORT names a report to open instead of one with made-up numbers, PRIVRAD_SCREENSHOTS a folder for pictures
(build/screenshots unless given).
"""

import html
import json
import os
import re
from pathlib import Path
from typing import Any

import cv2
import pytest

from privrad.report import report
from tests.report import measured as measured_tables
from tests.report import tree
from tests.system import browser

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        browser.program() is None and os.environ.get("CI") != "true",
        reason="no Chromium on this machine; install chromium to open the report in it",
    ),
]
WIDTHS = (400, 1000, 1600)
MEASURE, WORK = (Path(__file__).with_name(name) for name in ("report_measured.js", "report_worked.js"))
FRAME = """
<!DOCTYPE html><body><script>
addEventListener("message", event => { document.body.dataset.found = JSON.stringify(event.data); });
</script><iframe src="measured.html" width="WIDTH" height="1200" style="border: 0"></iframe></body>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert browser.program(), "Chromium is needed to open the report; install the package chromium"
    if "PRIVRAD_REPORT" in os.environ:
        return Path(os.environ["PRIVRAD_REPORT"])
    budgets = "0.29, 0.54, 1.06, 2.04, 4.71, 7.89, inf"
    built = tree.build(tmp_path_factory.mktemp("tree"), budgets=budgets, groups=measured_tables.GROUPS)
    report.run(**built.arguments, out=built.results / "report.html")
    return built.results / "report.html"


def measured(page: Path, folder: Path, *, width: int, script: Path = MEASURE) -> dict[str, Any]:
    """What a script finds in a copy of the page that lets it run, in a frame, since a window has a least width."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    added = f"<script>{script.read_text(encoding='utf-8')}</script></body>"
    (folder / "measured.html").write_text(text.replace("</body>", added), encoding="utf-8")
    (folder / "frame.html").write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    visit = browser.visit(folder / "frame.html", width=1700)
    found = re.search(r'data-found="([^"]*)"', visit.tree)
    assert found, f"the measuring script did not run: {visit.console}"
    read: dict[str, Any] = json.loads(html.unescape(found[1]))
    return read


def test_nothing_leaves_the_page_and_nothing_complains(page: Path) -> None:
    visit = browser.visit(page)
    assert "How to reproduce" in visit.tree
    assert visit.hosts == []
    assert visit.console == []


def test_a_request_and_a_complaint_would_be_seen(tmp_path: Path) -> None:
    leaking = tmp_path / "leaking.html"
    leaking.write_text('<img src="http://outside.example/pixel.png"><script>console.error("heard")</script>')
    visit = browser.visit(leaking)
    assert visit.hosts == ["outside.example"]
    assert any("heard" in line for line in visit.console)


def test_the_policy_stops_what_a_page_might_smuggle_in(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    smuggled = '<img src="http://outside.example/a.png"><script>document.body.id = "taken"</script></body>'
    (tmp_path / "smuggled.html").write_text(text.replace("</body>", smuggled), encoding="utf-8")
    visit = browser.visit(tmp_path / "smuggled.html")
    assert visit.hosts == []
    assert 'id="taken"' not in visit.tree
    assert len(visit.console) >= 2


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut(page: Path, tmp_path: Path, width: int) -> None:
    found = measured(page, tmp_path, width=width)
    assert found["width"] == width
    assert found["scroll"] <= width
    assert (found["wide"], found["cut"], found["outside"]) == ([], [], [])
    assert 0 < found["shown"] == found["drawings"] / 2
    assert found["images"] > 0
    assert found["smallest"] >= 8


def test_every_tab_slider_table_and_number_works(page: Path, tmp_path: Path) -> None:
    found = measured(page, tmp_path, width=1000, script=WORK)
    assert (found["tabless"], found["arrows"], found["still"], found["unsorted"]) == ([], [], [], [])
    assert found["tabs"] >= 2
    assert found["sliders"] > 0
    assert found["sorted"] > 20
    assert len(found["origins"]) >= 40
    for shown, said, opened in found["origins"]:
        assert opened, said
        assert said.startswith(f"Shown{shown}File")
        assert re.search(r"Made by(rule [a-z]+|hand: a setting)", said)
        assert re.search(r"Kind.*\.$", said)
    assert all(found["closed"])
    assert (found["roved"], found["clicked"], found["away"], found["revealed"]) == (True, True, True, "true")


def test_a_table_that_does_not_sort_would_be_seen(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("sign * by") == 1
    (tmp_path / "still.html").write_text(text.replace("sign * by", "by"), encoding="utf-8")
    assert measured(tmp_path / "still.html", tmp_path, width=1000, script=WORK)["unsorted"]


def test_without_its_script_the_page_shows_all(page: Path, tmp_path: Path) -> None:
    text = re.sub(r"<script>.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "plain.html").write_text(text, encoding="utf-8")
    found = measured(tmp_path / "plain.html", tmp_path, width=1000)
    assert (found["wide"], found["cut"], found["outside"]) == ([], [], [])
    assert found["panels"] > 0
    assert found["images"] > 0


def test_a_page_too_wide_would_be_seen(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8").replace('<p class="lead">', '<p class="lead" style="min-width: 1200px">', 1)
    (tmp_path / "wide.html").write_text(text, encoding="utf-8")
    found = measured(tmp_path / "wide.html", tmp_path, width=1000)
    assert found["scroll"] > 1000
    assert found["wide"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_has_a_picture(page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    folder = Path(os.environ.get("PRIVRAD_SCREENSHOTS", "build/screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    text = page.read_text(encoding="utf-8")
    assert text.count("(prefers-color-scheme: dark)") == 1
    if dark:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        text = text.replace("(prefers-color-scheme: dark)", "(min-width: 1px)")
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    taken = folder / f"report-{width}-{'dark' if dark else 'light'}.png"
    browser.visit(tmp_path / "page.html", width=width, height=4000, screenshot=taken)
    assert taken.stat().st_size > 50_000
    corner = cv2.imread(str(taken))
    assert corner is not None
    assert (corner[5, 5].mean() < 60) == dark
