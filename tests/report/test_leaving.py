"""What leaves the house of a study with a private cohort, read by someone who looks for what should not be there."""

import hashlib
import html
import itertools
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest

from privrad import files
from privrad.report import figures, report
from privrad.verify import check
from privrad.verify import report as verified
from tests.report import reading, tree

Written = tuple[tree.Tree, str]
HASH = re.compile(r"\b[0-9a-f]{64}\b")


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Written:
    built = tree.build(
        tmp_path_factory.mktemp("private"), private=True, budgets="0.29, inf", groups={("all", "all"): 1}
    )
    files.write_text(
        built.results / "chest/ingest/private/refused.csv", "reason,count\nmissing_file,12\nunknown_label,4\n"
    )
    return built, written(built, built.results / "report.html")


def written(built: tree.Tree, out: Path, *, internal: bool = False) -> str:
    with mock.patch.object(figures, "FIGURES", ()), mock.patch("privrad.report.missed.of", return_value=()):
        report.run(**built.arguments, out=out, internal=internal)
    return out.read_text(encoding="utf-8")


def papers(built: tree.Tree) -> Iterator[str]:
    """The cards and checklists that lie beside the page."""
    found = [path for folder in ("cards", "checklists") for path in (built.results / "chest" / folder).rglob("*.md")]
    assert len(found) == 3
    return (path.read_text(encoding="utf-8") for path in found)


def guesses(refused: str) -> Iterator[bytes]:
    """The files that a reader of the page would try: each hidden count from 1 to 9."""
    shown = refused.split("\n")
    hidden = [place for place, line in enumerate(shown) if re.search(r",[1-9]$", line)]
    for counts in itertools.product(range(1, 10), repeat=len(hidden)):
        held = list(shown)
        for place, count in zip(hidden, counts, strict=True):
            held[place] = f"{held[place].rpartition(',')[0]},{count}"
        yield "\n".join(held).encode()


def test_no_hidden_count_can_be_tried_out_against_a_hash(private: Written) -> None:
    built, page = private
    path = built.results / "chest/ingest/private/refused.csv"
    tried = {hashlib.sha256(content).hexdigest() for content in guesses(path.read_text(encoding="utf-8"))}
    assert files.sha256(path) in tried
    assert not tried & set(HASH.findall(page))
    told = dict(re.findall(r"<code>(chest/\S+)</code></th><td><code>(\w+)</code>", page))
    kept = {name for name, digest in told.items() if digest != "withheld"}
    assert "chest/finetune/eps-0.29/seed-0/certificate.json" in kept
    assert "chest/ingest/public/refused.csv" in kept
    assert all(re.search(r"/public/|/pretrain/|/certificate\.json$", name) for name in kept)
    assert told["chest/finetune/eps-0.29/seed-0/training.json"] == "withheld"
    assert all(files.sha256(built.results / name) == told[name] for name in kept)


def test_no_id_folder_or_file_name_of_the_cohort_leaves(private: Written) -> None:
    built, page = private
    manifest = pd.read_parquet(built.results / "chest/duplicates/private/manifest.parquet")
    ids = [*manifest["image_id"], *manifest["patient_id"]]
    assert len(ids) == 24
    for text in (page, *papers(built)):
        assert not [one for one in ids if one in text]
        assert str(built.results.parent) not in text
        assert not re.search(r"image-\d+\.png|/home/|/root/", text)


def test_no_small_count_and_no_further_digit_leaves(private: Written) -> None:
    built, page = private
    numbers = reading.Page(page).numbers
    counts = [each for each in numbers if each.form == "count" and each.kind == "suppressed"]
    assert len(counts) > 100
    small = {str(count) for count in range(1, 10)}
    assert not [each for each in counts if each.text in small and each.column != "n"]
    for text in (re.sub(r"<(svg|script|style)\b.*?</\1>", "", page, flags=re.DOTALL), *papers(built)):
        assert not re.findall(r"\b0\.\d{5,}", html.unescape(text))


def test_the_internal_report_is_its_owners_alone_and_marked(private: Written) -> None:
    built, page = private
    out = built.private / "internal.html"
    internal = written(built, out, internal=True)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert stat.S_IMODE((built.results / "report.html").stat().st_mode) == 0o644
    assert '<p class="mark">privrad internal report</p>' in internal
    assert "Must not leave the hospital." in internal
    assert "<title>Internal, must not leave: demo: accuracy" in internal
    assert "<title>demo: accuracy" in page
    assert "internal" not in page.split("<main")[0].split("</style>")[1]
    assert files.sha256(built.results / "chest/ingest/private/refused.csv") in internal


def test_an_error_about_a_private_picture_names_no_file(private: Written, tmp_path: Path) -> None:
    built, _ = private
    for path in built.roots["chest", "private"].glob("*.png"):
        path.rename(path.with_suffix(".gone"))
    try:
        with pytest.raises(ValueError, match=r"missing_file: [0-9a-f]{32}: there is no such file") as error:
            written(built, tmp_path / "internal.html", internal=True)
    finally:
        for path in built.roots["chest", "private"].glob("*.gone"):
            path.rename(path.with_suffix(".png"))
    assert "image-" not in str(error.value)


def of_hashes(built: tree.Tree, page: str, folder: Path) -> list[check.Check]:
    """What is wrong with the hashes of a page, as verify sees it."""
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    found = verified.checks(built.results, page=path, name="report.html", study=built.study)
    return [each for each in found if each.what.startswith("SHA-256") and not each.holds]


def test_verify_wants_the_hashes_withheld(private: Written, tmp_path: Path) -> None:
    built, page = private
    assert of_hashes(built, page, tmp_path) == []
    name = "chest/ingest/private/refused.csv"
    withheld = f"<code>{name}</code></th><td><code>withheld"
    assert withheld in page
    digest = files.sha256(built.results / name)
    (stated,) = of_hashes(built, page.replace(withheld, withheld.replace("withheld", digest)), tmp_path)
    assert stated.found == "a hash that has to be withheld"
    certificate = "chest/finetune/eps-0.29/seed-0/certificate.json"
    (lacking,) = of_hashes(built, page.replace(files.sha256(built.results / certificate), "withheld"), tmp_path)
    assert lacking.what == f"SHA-256 of {certificate}"


def test_the_workflows_own_report_is_not_told_where_images_lie(private: Written) -> None:
    """Snakemake copies the parameters of a rule into its report."""
    rules = Path("workflow/rules/report.smk").read_text(encoding="utf-8")
    held: dict[str, Any] = {"STUDY": private[0].study}
    exec(rules[rules.index("ROOTS = ") : rules.index("rule figures")], held)
    assert '"id":"hospital"' in held["SHOWN"]
    assert str(private[0].roots["chest", "private"].parent) in private[0].study.model_dump_json()
    assert str(private[0].roots["chest", "private"].parent) not in held["SHOWN"]


REMARKED = """\
# Dr Kettle
study: demo   # at kettle
ledger: {ledger}
note: "a # kept"
plain: b#kept
block: | # kettle
  keep # kept
folded: >-
  x # kept

# kettle
list: [a, # kettle
  b]
quoted: 'it''s # kept' # kettle # kettle
end: 1
#"""


@pytest.mark.parametrize("ledger", ["/srv/kettle/ledger.jsonl", "'/srv/kettle # 2/l.jsonl'"])
def test_a_private_study_file_leaves_without_remarks_and_folders(private: Written, ledger: str) -> None:
    text = REMARKED.replace("{ledger}", ledger)
    left = report._without_roots(text, private[0].study)
    assert "ettle" not in left
    assert left.count("kept") == text.count("kept") == 5
    assert left.count("#(left out)") == 6
    assert "ledger: (left out)" in left
    assert len(left.split("\n")) == len(text.split("\n"))


def test_the_study_file_of_a_drawn_cohort_leaves_as_it_is(tmp_path: Path) -> None:
    assert report._without_roots(REMARKED, tree.build(tmp_path, budgets="0.29").study) == REMARKED
