"""The report in real headless Chromium: nothing leaves it, nothing is cut, nothing complains.

PRIVRAD_REPORT names a report to open instead of one with made-up numbers, PRIVRAD_SCREENSHOTS a folder for pictures.
"""

import html
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from privrad.report import report
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
MEASURE = """
<script>
addEventListener("load", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const width = document.documentElement.clientWidth, scrolls = ".scroll, pre, .skip";
  const box = e => e.getBoundingClientRect();
  const visible = [...document.body.querySelectorAll("*")].filter(e => e.getClientRects().length);
  const drawn = visible.filter(e => e.tagName === "text"), plain = visible.filter(e => !e.closest("svg"));
  const outside = e => {
    const t = box(e), s = box(e.closest("svg"));
    return t.left < s.left - 1 || t.right > s.right + 1 || t.top < s.top - 1 || t.bottom > s.bottom + 1;
  };
  const size = e => parseFloat(getComputedStyle(e).fontSize) * Math.hypot(e.getScreenCTM().a, e.getScreenCTM().b);
  const cut = e => getComputedStyle(e).overflowX !== "visible" && e.scrollWidth > e.clientWidth + 1;
  const said = e => e.tagName + "." + e.getAttribute("class") + ": " + e.textContent.trim().slice(0, 60);
  parent.postMessage({
    width: innerWidth,
    scroll: document.documentElement.scrollWidth,
    drawings: document.querySelectorAll(".drawing svg").length,
    shown: visible.filter(e => e.matches(".drawing svg")).length,
    images: [...document.images].filter(e => e.naturalWidth).length,
    wide: plain.filter(e => !e.closest(scrolls) && box(e).right > width + 1).map(said),
    cut: plain.filter(e => !e.matches(scrolls) && cut(e)).map(said),
    outside: drawn.filter(outside).map(said),
    smallest: Math.min(...drawn.map(size)),
  }, "*");
});
</script>
"""
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
    built = tree.build(tmp_path_factory.mktemp("tree"), budgets="0.29, 0.54, 1.06, 2.04, 4.71, 7.89, inf")
    report.run(**built.arguments, out=built.results / "report.html")
    return built.results / "report.html"


def measured(page: Path, folder: Path, *, width: int) -> dict[str, Any]:
    """What a script finds in a copy of the page that lets it run, in a frame, since a window has a least width."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    (folder / "measured.html").write_text(text.replace("</body>", MEASURE + "</body>"), encoding="utf-8")
    (folder / "frame.html").write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    found = re.search(r'data-found="([^"]*)"', browser.visit(folder / "frame.html", width=1700).tree)
    assert found, "the measuring script did not run"
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


def test_a_page_too_wide_would_be_seen(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8").replace('<p class="lead">', '<p class="lead" style="min-width: 1200px">', 1)
    (tmp_path / "wide.html").write_text(text, encoding="utf-8")
    found = measured(tmp_path / "wide.html", tmp_path, width=1000)
    assert found["scroll"] > 1000
    assert found["wide"]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_has_a_picture(page: Path, tmp_path: Path, width: int) -> None:
    folder = Path(os.environ.get("PRIVRAD_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    browser.visit(page, width=width, height=3000, screenshot=folder / f"report-{width}.png")
    assert (folder / f"report-{width}.png").stat().st_size > 50_000
