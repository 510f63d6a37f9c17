"""The page of privrad inspect in real headless Chromium: nothing leaves it, nothing is cut, nothing complains."""

import os
from contextlib import chdir
from pathlib import Path

import pytest

from privrad import cli, config
from privrad.cohorts import phantom
from tests.system import browser
from tests.system.test_report_browser import measured

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        browser.program() is None and os.environ.get("CI") != "true",
        reason="no Chromium on this machine; install chromium to open the page in it",
    ),
]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page on the two drawn cohorts of the tiny study, with their datasheets."""
    assert browser.program(), "Chromium is needed to open the page; install the package chromium"
    folder = tmp_path_factory.mktemp("inspect")
    with chdir(folder):
        (folder / "resources").symlink_to(ROOT / "resources")
        study = config.load(ROOT / "tests/tiny.yaml")
        for role, cohort in study.experiments["chest"].roles.items():
            assert cohort.phantom is not None
            out = folder / "results/tiny/chest/phantom" / role
            phantom.run(cohort.phantom, layout=cohort.layout, seed=study.seed, out=out)
        assert cli.main(["inspect", str(ROOT / "tests/tiny.yaml")]) == 0
    return folder / "private/tiny/inspect.html"


def test_nothing_leaves_the_page_and_nothing_complains(page: Path) -> None:
    visit = browser.visit(page)
    assert "The split that would follow" in visit.tree
    assert visit.hosts == []
    assert visit.console == []


@pytest.mark.parametrize("width", [360, 1000, 1600])
def test_nothing_is_cut(page: Path, tmp_path: Path, width: int) -> None:
    found = measured(page, tmp_path, width=width)
    assert found["scroll"] <= width
    assert (found["wide"], found["cut"]) == ([], [])
    assert found["images"] == 48
