"""Hundreds of hostile texts in all that a report shows: Chromium runs none and finds no element or request of theirs.

The pages are opened without their policy, so that escaping alone has to hold.
"""

from __future__ import annotations

import csv
import html
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import markdown_it
import numpy as np
import pandas as pd
import pytest

from privrad.imaging import shards
from privrad.report import report, words
from tests.report import tree
from tests.system import browser
from tests.system.payloads import HTML, PAYLOADS, SHEET, SVG
from tests.test_injection import formulas, one_cohort
from tests.test_workflow import Workspace

ROOT = Path(__file__).parents[2]
HOOK = Path(__file__).with_name("injected_hook.js")
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
SHOWN = [payload for payload in PAYLOADS if "\r" not in payload]
"""Without those that no table of ours can hold: it writes a space for a carriage return."""
NAMES = [each for each in (*HTML, *SVG, *SHEET) if "/" not in each and "\0" not in each and "\r" not in each][:12]
OWN = {
    link
    for source in (ROOT / "src/privrad/report").rglob("*.*")
    if source.suffix in (".html", ".md", ".py", ".yaml")
    for link in re.findall(r"https://[^\s\"'<>)]+", source.read_text(encoding="utf-8"))
}
"""The addresses that the report itself names."""
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        browser.program() is None and os.environ.get("CI") != "true",
        reason="no Chromium on this machine; install chromium to open the report in it",
    ),
]


@dataclass(frozen=True)
class Written:
    """A results folder full of hostile texts, and the pages that were written from it."""

    tree: tree.Tree

    @property
    def pages(self) -> dict[str, Path]:
        return {"report": self.tree.results / "report.html", "internal": self.tree.private / "internal.html"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    groups = {("all", "all"): 1.0, **{("site", payload): 1 / len(SHOWN) for payload in SHOWN}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "FINDINGS", ("cardiomegaly",))
        built = tree.build(tmp_path_factory.mktemp("hostile"), budgets="0.29", groups=groups)
    poison(built)
    arguments = {key: value for key, value in built.arguments.items() if key != "study_file"}
    report.figures_of(**arguments)
    made = Written(built)
    for name, page in made.pages.items():
        report.run(**built.arguments, out=page, internal=name == "internal")
    return made


def poison(built: tree.Tree) -> None:
    """Put the texts wherever files of the results and of the house hold any."""
    base, private = built.results / "chest", built.private / "chest"
    for role in ("public", "private"):
        with (base / "ingest" / role / "refused.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("reason", "count"), *((each, 1) for each in SHOWN)])
        place = base / "prepare" / role / "shard-000.safetensors"
        held = shards.open_shards([place])
        pixels, ids = held.take(range(len(held))), held.image_ids
        shards.write_shard(place, pixels=np.array(pixels), image_ids=ids, refused=dict.fromkeys(PAYLOADS, 1))
    for path in base.glob("finetune/*/*/certificate.json"):
        certificate = json.loads(path.read_text(encoding="utf-8"))
        certificate |= {"not_covered": list(PAYLOADS), "versions": {each: each for each in PAYLOADS}}
        path.write_text(json.dumps(certificate), encoding="utf-8")
    for path in (base / "evaluate").glob("*.csv"):
        table = pd.read_csv(path, keep_default_na=False)
        if "note" in table:
            notes = (SHOWN * (1 + len(table) // len(SHOWN)))[: len(table)]
            table.assign(note=notes).to_csv(path, index=False)
    paths = pd.read_parquet(private / "locate/private/paths.parquet")
    for old, new in zip(paths["path"], NAMES, strict=True):
        (built.roots["chest", "private"] / old).rename(built.roots["chest", "private"] / new)
    paths.assign(path=NAMES).to_parquet(private / "locate/private/paths.parquet")
    manifest = pd.read_parquet(base / "duplicates/private/manifest.parquet")
    manifest.assign(view=NAMES, sex=NAMES[::-1]).to_parquet(base / "duplicates/private/manifest.parquet")
    rows = manifest[["image_id", "patient_id"]].assign(split="test", finding="cardiomegaly", label=0, score=0.9)
    place = base / "predict/eps-0.29/seed-0/predictions.parquet"
    place.parent.mkdir(parents=True)
    rows.to_parquet(place)


def opened(text: str, folder: Path, *, expected: list[str]) -> tuple[dict[str, Any], browser.Visit]:
    """What the hook found in a page that lets every script run."""
    assert text.count("<head>") == 1
    constants = f"const LINKS = {_script(sorted(OWN))}, EXPECTED = {_script(expected)};"
    hook = f"<script>{constants}{HOOK.read_text(encoding='utf-8')}</script>"
    (folder / "page.html").write_text(POLICY.sub("", text).replace("<head>", f"<head>{hook}"), encoding="utf-8")
    visit = browser.visit(folder / "page.html")
    found = re.search(r'data-found="([^"]*)"', visit.tree)
    assert found, f"the hook did not run: {visit.console}"
    read: dict[str, Any] = json.loads(html.unescape(found[1]))
    return read, visit


def _script(value: object) -> str:
    return json.dumps(value).replace("<", "\\u003c")


def assert_inert(found: dict[str, Any], visit: browser.Visit) -> None:
    assert found["done"] == []
    assert found["foreign"] == []
    assert found["twice"] == []
    assert found["missing"] == []
    assert (visit.hosts, visit.console) == ([], [])


@pytest.mark.parametrize("page", ["report", "internal"])
def test_nothing_runs_in_a_page(written: Written, tmp_path: Path, page: str) -> None:
    text = written.pages[page].read_text(encoding="utf-8")
    expected = [words.group("site", payload) for payload in SHOWN]
    found, visit = opened(
        text, tmp_path, expected=expected + [words.flat(name) for name in NAMES] * (page == "internal")
    )
    assert_inert(found, visit)
    assert found["scripts"] == 2
    assert found["clicked"] > 100


def test_nothing_runs_in_a_card_or_checklist(written: Written, tmp_path: Path) -> None:
    papers = sorted((written.tree.results / "chest").rglob("*.md"))
    assert len(papers) == 3
    reader = markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    bodies = [
        reader.render(re.sub(r"\A---\n.*?\n---\n", "", paper.read_text(encoding="utf-8"), flags=re.S))
        for paper in papers
    ]
    expected = [words.group("site", payload) for payload in SHOWN]
    page = f"<!DOCTYPE html><html><head><meta charset='utf-8'></head><body>{''.join(bodies)}</body></html>"
    found, visit = opened(page, tmp_path, expected=expected)
    assert_inert(found, visit)
    assert found["scripts"] == 1


def test_no_drawing_holds_an_element_of_theirs(written: Written) -> None:
    drawings = sorted((written.tree.results / "chest/figures").glob("*.svg"))
    assert len(drawings) > 10
    for drawing in drawings:
        elements = list(ElementTree.parse(drawing).iter())
        assert not {each.tag.rpartition("}")[2] for each in elements} & {
            "script",
            "image",
            "foreignObject",
            "a",
            "set",
            "animate",
        }
        named = [(name.rpartition("}")[2], value) for each in elements for name, value in each.attrib.items()]
        assert not [name for name, _ in named if name.startswith("on")]
        assert all(value.startswith("#") for name, value in named if name == "href")


def test_no_table_holds_a_formula(written: Written) -> None:
    tables = sorted((written.tree.results / "chest/figures").glob("*.csv"))
    assert len(tables) > 10
    assert [cell for table in tables for cell in formulas(table)] == []


def test_a_text_that_is_not_escaped_would_be_seen(tmp_path: Path) -> None:
    raw = "<p id=x><img src=x onerror=alert(1)><script>alert(2)</script><p id=x>"
    raw += "<p style='background: url(//outside.example/)'>"
    page = f"<!DOCTYPE html><html><head></head><body>{raw}</body></html>"
    found, _ = opened(page, tmp_path, expected=["not on the page"])
    assert {"alert: 1", "alert: 2"} <= set(found["done"])
    assert {each.split("=")[0] for each in found["foreign"]} == {"img src", "img onerror", "p style"}
    assert (found["scripts"], found["twice"], found["missing"]) == (2, ["x"], ["not on the page"])


def test_no_name_of_a_folder_or_study_reaches_a_shell(tmp_path: Path) -> None:
    hostile = 'it\'s $(touch pwned) `touch pwned` "x"; touch pwned & | > pwned #'
    work = Workspace(tmp_path / hostile)
    work.folder.mkdir()
    work.fill()
    root = work.folder / f"root {hostile}"
    root.mkdir()
    row = "a.png,p,s,50,F,PA,no,train,normal"
    (root / "uka_cxr.csv").write_text(f"image,patient_id,study_id,age,sex,view,bedside,split,heart\n{row}\n")
    cv2.imwrite(str(root / "a.png"), np.arange(4096, dtype=np.uint16).astype(np.uint8).reshape(64, 64))
    study = work.folder / f"study {hostile}.yaml"
    study.write_text(json.dumps(one_cohort(root)), encoding="utf-8")
    shard = "results/ours/chest/prepare/private/shard-000.safetensors"
    done = work.snakemake(shard, "--configfile", study.name)
    assert done.returncode == 0, done.stdout
    assert len(shards.open_shards([work.folder / shard])) == 1
    assert not list(tmp_path.rglob("pwned"))
