"""The report as a file: what it says, what it must not say, and when it refuses."""

import base64
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from privrad import files
from privrad.report import account, report
from tests.report import tree


@pytest.fixture(scope="module")
def seeded(tmp_path_factory) -> tuple[tree.Tree, str]:
    return written(tree.build(tmp_path_factory.mktemp("seeded")))


@pytest.fixture(scope="module")
def private(tmp_path_factory) -> tuple[tree.Tree, str]:
    return written(tree.build(tmp_path_factory.mktemp("private"), private=True, seeds="0, 1", budgets="0.29, inf"))


def written(built: tree.Tree) -> tuple[tree.Tree, str]:
    out = built.results / "report.html"
    report.run(**built.arguments, out=out)
    return built, out.read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Ids, links, outside references, headings, tables and images of a page, and whether its tags close in order."""

    VOID = frozenset(("meta", "img", "link", "br", "hr"))

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids, self.links, self.tags, self.headings, self.open, self.attributes = [], [], [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        held = dict(attrs)
        self.tags.append((tag, held))
        self.ids += [held["id"]] if "id" in held else []
        self.links += [held["href"]] if "href" in held else []
        self.headings += [int(tag[1])] if tag in ("h1", "h2", "h3", "h4") else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def text_of(page: str) -> str:
    body = re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", body.replace("&#39;", "'"))


def test_nothing_leaves_the_page(seeded) -> None:
    _, page = seeded
    outline = Outline(page)
    assert all(link.startswith("#") for link in outline.links)
    assert not [held for tag, held in outline.tags if tag in ("script", "link", "iframe", "object", "form", "base")]
    assert all(held["src"].startswith("data:image/png;base64,") for tag, held in outline.tags if tag == "img")
    assert not [name for _, held in outline.tags for name in held if name.startswith("on")]
    assert not re.search(r"https?:|@import|url\((?!#)", page)
    policy = next(held["content"] for _, held in outline.tags if held.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline';")
    assert "script" not in policy


def test_the_page_is_sound_and_can_be_heard(seeded) -> None:
    _, page = seeded
    outline = Outline(page)
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link[1:] for link in outline.links} <= set(outline.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(outline.ids)
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    assert all(held.get("scope") in ("col", "row") for tag, held in outline.tags if tag == "th")
    assert all(held.get("alt") for tag, held in outline.tags if tag == "img")
    drawings = [held for tag, held in outline.tags if tag == "svg" and held.get("role") == "img"]
    assert len(drawings) == 6
    assert all(held["aria-labelledby"] in outline.ids for held in drawings)
    assert next(held["lang"] for tag, held in outline.tags if tag == "html") == "en"


def test_the_summary_says_the_numbers_of_the_files(seeded) -> None:
    built, page = seeded
    metrics = pd.read_csv(built.results / "chest/evaluate/metrics.csv")
    mean = metrics[(metrics["finding"] == "mean") & (metrics["group_by"] == "all")].set_index("arm")
    text = text_of(page)
    plain, strict = mean.loc["eps-inf"], mean.loc["eps-0.29"]
    assert f"reaches a mean AUROC of {plain['value']:.3f} over the 8 findings" in text
    assert f"interval {plain['low']:.3f} to {plain['high']:.3f})" in text
    assert f"At the strictest budget, ε = 0.29, it is {strict['value']:.3f}, " in text
    differences = pd.read_csv(built.results / "chest/evaluate/differences.csv")
    lost = differences.query(
        "arm == 'eps-0.29' and reference == 'eps-inf' and finding == 'mean' and group_by == 'all'"
    ).iloc[0]
    assert f"{lost['value']:.3f} lower (difference {lost['low']:.3f} to {lost['high']:.3f})" in text
    for arm in mean.index:
        assert f"{mean.loc[arm, 'value']:.3f}" in text


def test_every_accuracy_in_the_file_stands_on_the_page(seeded) -> None:
    built, page = seeded
    metrics = pd.read_csv(built.results / "chest/evaluate/metrics.csv")
    chosen = metrics[(metrics["group_by"] == "all") | (metrics["finding"] == "mean")]
    text = text_of(page)
    for row in chosen.to_dict("records"):
        assert f"{row['value']:.3f}" in text
        assert f"{row['low']:.3f} to {row['high']:.3f}" in text


def test_seeded_noise_is_said_and_no_epsilon_is_guaranteed(seeded) -> None:
    text = text_of(seeded[1])
    assert "Seeded noise: not for release." in text
    assert "Nothing, in this study." in text
    assert "No training of this study guarantees anything" in text
    assert "faces a nominal ε =" in text


def test_released_noise_is_not_called_seeded(private) -> None:
    text = text_of(private[1])
    assert "Seeded noise" not in text
    assert "Each patient whose images the private models were trained on." in text


def test_test_patients_are_said_to_have_no_guarantee_wherever_they_are_shown(seeded) -> None:
    for section in ("summary", "accuracy", "fairness", "privacy"):
        part = seeded[1].split(f'id="chest-{section}"')[1].split("</section>")[0]
        assert re.search(r"no guarantee of differential privacy|not covered by any", text_of(part))


def test_refusals_are_counted_by_reason(seeded) -> None:
    text = text_of(seeded[1])
    assert "ingest: missing file 11 11" in text
    assert "prepare: constant image 2 2" in text


def test_pictures_are_the_cohorts_own(seeded) -> None:
    built, page = seeded
    found = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]
    assert len(found) == 16
    first = cv2.imdecode(np.frombuffer(found[0], np.uint8), cv2.IMREAD_UNCHANGED)
    raw = [
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(built.roots["chest", "private"].glob("*.png"))
    ]
    assert first.shape == (160, 160)
    assert any(np.corrcoef(first.ravel(), one.ravel())[0, 1] > 0.999 for one in raw)
    assert "No finding (female, 61 years, PA)" in text_of(page)


def test_a_private_cohort_shows_no_picture_no_folder_and_no_small_count(private) -> None:
    built, page = private
    assert page.count("data:image/png") == 8
    assert str(built.roots["chest", "private"].parent) not in page
    assert "root: (left out)" in page
    text = text_of(page)
    metrics = pd.read_csv(built.results / "chest/evaluate/metrics.csv")
    young = metrics[(metrics["group"] == "[0,30)") & (metrics["finding"] == "mean")]
    assert (young["images"] < 10).all()
    assert "too few" in text
    by_age = text.split("Mean AUROC by age evaluate")[1].split("The unit of privacy")[0]
    assert by_age.count("too few") == len(young[young["seed"] == 0])
    intervals = [f"{row['low']:.3f} to {row['high']:.3f}" for row in young.to_dict("records")]
    assert not [interval for interval in intervals if interval in page]
    assert "ingest: unknown label &lt;10 3" in text
    assert "age: under 30 years &lt;10 14 &lt;10 &lt;10 &lt;10 &lt;10" in text


def test_seeds_stand_apart(private) -> None:
    text = text_of(private[1])
    assert "ε = 0.29, seed 1" in text
    assert "repeated with seeds 0 and 1" in text


def test_each_file_is_named_with_its_hash(seeded) -> None:
    built, page = seeded
    for name in ("evaluate/metrics.csv", "finetune/eps-inf/seed-0/certificate.json", "split/private/balance.csv"):
        assert f"chest/{name}" in page
        assert files.sha256(built.results / "chest" / name) in page
    assert "shard-000" not in page


def test_same_files_same_bytes(seeded, tmp_path) -> None:
    built, page = seeded
    report.run(**built.arguments, out=tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_a_study_of_one_budget_and_no_plain_model(tmp_path) -> None:
    _, page = written(tree.build(tmp_path, budgets="7.89", release=True))
    text = text_of(page)
    assert "Trained without privacy" not in text
    assert "At the strictest budget, ε = 7.89, it is 0." in text
    assert "Before any fine-tuning on the private cohort, learnt from public images alone, it is 0." in text


def test_text_from_data_is_escaped(tmp_path) -> None:
    built = tree.build(tmp_path, budgets="0.29, inf")
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    base = built.results / "chest"
    files.write_text(base / "ingest/private/refused.csv", f'reason,count\n"{hostile}",3\n')
    manifest = pd.read_parquet(base / "ingest/private/manifest.parquet").assign(view='"><script>')
    manifest.to_parquet(base / "ingest/private/manifest.parquet")
    metrics = (base / "evaluate/metrics.csv").read_text().replace(",F,", f",{hostile},")
    files.write_text(base / "evaluate/metrics.csv", metrics)
    built.study_file.write_text(built.study_file.read_text() + f"# {hostile}\n")
    _, page = written(built)
    outline = Outline(page)
    assert "script" not in {tag for tag, _ in outline.tags}
    assert len([tag for tag, _ in outline.tags if tag == "img"]) == 16
    assert page.count("&lt;script&gt;") > 4


@pytest.mark.parametrize(
    "name",
    [
        "evaluate/metrics.csv",
        "finetune/eps-0.29/seed-0/certificate.json",
        "ingest/public/refused.csv",
        "pretrain/mish/training.json",
        "prepare/private/shard-000.safetensors",
    ],
)
def test_a_missing_file_is_named(seeded, tmp_path, name) -> None:
    built = tree.Tree(**built_elsewhere(seeded[0], tmp_path))
    (built.results / "chest" / name).unlink()
    with pytest.raises(account.ReportError, match=f"{name} is missing; make it with `snakemake`"):
        report.run(**built.arguments, out=tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_damaged_certificate_is_named(seeded, tmp_path, content) -> None:
    built = tree.Tree(**built_elsewhere(seeded[0], tmp_path))
    (built.results / "chest/finetune/eps-0.29/seed-0/certificate.json").write_text(content)
    with pytest.raises(account.ReportError, match=r"certificate\.json .*run snakemake again"):
        report.run(**built.arguments, out=tmp_path / "report.html")


def built_elsewhere(built: tree.Tree, folder: Path) -> dict:
    results = shutil.copytree(built.results, folder / "results")
    return built.arguments | {"results": results}


def test_outline_notices_a_tag_left_open() -> None:
    with pytest.raises(AssertionError):
        Outline("<main><p></main>")
