"""The report as a file: what it says, what it must not say, and when it refuses."""

import base64
import dataclasses
import hashlib
import html
import json
import re
import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pandas as pd
import pytest

from privrad import config, files
from privrad.report import account, accuracy, figures, missed, number, pictures, report
from privrad.report.figures import saving
from tests.report import tree

RESOURCES = Path("resources/published").resolve()
Written = tuple[tree.Tree, str]
MADE = ("eps-0", "eps-0.29", "eps-1.06", "eps-7.89", "eps-inf-matched", "eps-inf")
Attributes = list[tuple[str, str | None]]


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Written:
    built = tree.build(tmp_path_factory.mktemp("seeded"))
    return built, written(built, drawn=figures.FIGURES)


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Written:
    built = tree.build(tmp_path_factory.mktemp("private"), private=True, seeds="0, 1", budgets="0.29, inf")
    return built, written(built)


def written(built: tree.Tree, *, drawn: Sequence[figures.Figured] = (), **further: Any) -> str:
    """The page of a tree with the figures `drawn`: to draw all takes most of the time."""
    out = built.results / "report.html"
    with mock.patch.object(figures, "FIGURES", drawn):
        report.run(**built.arguments, out=out, **further)
    return out.read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Ids, links, outside references, headings, tables and images of a page, and whether its tags close in order."""

    VOID = frozenset(("meta", "img", "link", "br", "hr", "input"))

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.headings: list[int] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        held = {name: value or "" for name, value in attrs}
        self.tags.append((tag, held))
        self.ids += [held["id"]] if "id" in held else []
        self.links += [held["href"]] if "href" in held else []
        self.headings += [int(tag[1])] if tag in ("h1", "h2", "h3", "h4", "h5") else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def text_of(page: str) -> str:
    body = re.sub(r"<(style|script|svg).*?</\1>", " ", page, flags=re.DOTALL)
    body = re.sub(r"</?(data|span|code|b|strong|a)\b[^>]*>", "", body)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body).replace("&#39;", "'"))


def test_nothing_leaves_the_page(seeded: Written) -> None:
    built, page = seeded
    outline = Outline(page)
    beside = [link for link in outline.links if not link.startswith("#")]
    assert {link.split("/")[1] for link in beside} == {"cards", "checklists"}
    assert all((built.results / link).is_file() for link in beside)
    assert not [held for tag, held in outline.tags if tag in ("link", "iframe", "object", "form", "base")]
    assert all(held["src"].startswith("data:image/png;base64,") for tag, held in outline.tags if tag == "img")
    assert not [name for _, held in outline.tags for name in held if name.startswith("on")]
    assert not [held for _, held in outline.tags if "style" in held]
    assert not re.search(r"https?:|@import|url\((?!#)", page)


def test_the_policy_lets_the_pages_own_style_and_script_count_alone(seeded: Written) -> None:
    _, page = seeded
    outline = Outline(page)
    assert [tag for tag, _ in outline.tags if tag in ("script", "style")] == ["style", "script"]
    policy = next(held["content"] for _, held in outline.tags if held.get("http-equiv") == "Content-Security-Policy")
    hashes = {}
    for tag in ("style", "script"):
        inner = page.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        hashes[tag] = "sha256-" + base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src '{hashes['style']}'; script-src '{hashes['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_page_is_sound_and_can_be_heard(seeded: Written) -> None:
    _, page = seeded
    outline = Outline(page)
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(outline.ids)
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    assert all(held.get("scope") in ("col", "row") for tag, held in outline.tags if tag == "th")
    assert all(held.get("alt") for tag, held in outline.tags if tag == "img")
    drawings = [held for tag, held in outline.tags if tag == "svg" and held.get("role") == "img"]
    assert len(drawings) == 2 * sum(each.kind == "figure" for each in figures.FIGURES)
    assert all(held["aria-labelledby"] in outline.ids for held in drawings)
    assert all(held.get("aria-label") for tag, held in outline.tags if tag == "input" or held.get("role") == "region")
    assert next(held["lang"] for tag, held in outline.tags if tag == "html") == "en"


def test_the_summary_says_the_numbers_of_the_files(seeded: Written) -> None:
    built, page = seeded
    metrics = pd.read_csv(built.results / "chest/evaluate/metrics.csv")
    mean = metrics.query("finding == 'mean' and group_by == 'all' and metric == 'auroc'").set_index("arm")
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


def test_the_summary_tells_what_is_lost_against_the_matched_recipe(seeded: Written, tmp_path: Path) -> None:
    built, page = seeded
    differences = pd.read_csv(built.results / "chest/evaluate/differences.csv")
    chosen = differences.query("reference == 'eps-inf-matched' and finding == 'mean' and group_by == 'all'")
    text = text_of(page).replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")
    for arm, name in (("eps-0.29", "ε = 0.29"), ("eps-7.89", "ε = 7.89")):
        lost = chosen.set_index("arm").loc[arm]
        said = f"Against the matched recipe (same training without clipping and noise), {name} is"
        assert f"{said} {lost['value']:.3f} lower (difference {lost['low']:.3f} to {lost['high']:.3f}" in text
    assert "Against the matched recipe" not in written(tree.build(tmp_path, budgets="7.89"))


def test_the_smallest_epsilon_that_is_not_inferior_is_said(seeded: Written, tmp_path: Path) -> None:
    built, page = seeded
    summary = json.loads((built.results / "chest/evaluate/summary.json").read_text())
    assert summary["noninferior"] is None
    on = "On validation patients, at a margin of 0.02 in mean AUROC, "
    assert f"{on}no epsilon is shown to be non-inferior to training without privacy." in text_of(page)
    elsewhere = tree.Tree(**built_elsewhere(built, tmp_path))
    found = {"arm": "eps-1.06", "epsilon": 1.06, "margin": 0.02, "reference": "eps-inf"}
    files.write_json(elsewhere.results / "chest/evaluate/summary.json", summary | {"noninferior": found})
    said = f"{on}the smallest epsilon shown to be non-inferior to training without privacy is ε = 1.06."
    assert said in text_of(written(elsewhere)).replace("\N{NO-BREAK SPACE}", " ")


def test_what_an_attacker_can_gain_is_said(seeded: Written) -> None:
    built, page = seeded
    text = text_of(page).replace("\N{NO-BREAK SPACE}", " ")
    assert "while wrongly naming 1 % of those who did not take part, at most 1.29 % of those who did (ε = 0.29)" in text
    assert "or 8.89 % of those who did (ε = 7.89)" in text
    assert "What an attacker can gain at most, were the noise not seeded" in text
    held = json.loads((built.results / "chest/finetune/eps-1.06/seed-0/certificate.json").read_text())
    table = text.split("were the noise not seeded")[1].split("Advantage: the largest")[0]
    rates = [f"{100 * rate:.3g} %" for rate in held["nominal_attacker"]["true_positive_rate"].values()]
    assert f"ε = 1.06 {' '.join(rates)} {100 * held['nominal_attacker']['membership_advantage']:.3g} %" in table


def test_every_arm_has_a_tab_with_all_that_was_measured(seeded: Written) -> None:
    built, page = seeded
    metrics = pd.read_csv(built.results / "chest/evaluate/metrics.csv", keep_default_na=False)
    for arm in MADE:
        panel = text_of(page.split(f'id="chest-accuracy-{arm.replace(".", "-")}"')[1].split("</section>")[0])
        mine = metrics[(metrics["arm"] == arm) & (metrics["group_by"] == "all")]
        assert len(mine) > 60
        for row in mine[mine["metric"].isin(dict(accuracy.COLUMNS))].to_dict("records"):
            assert f"{row['value']:.3f} {row['low']:.3f} to {row['high']:.3f}" in panel
        assert panel.count("0.400") >= 8
        assert "ROC curves, with bands" in panel


def test_fairness_is_told_arm_by_arm_with_what_is_flagged(seeded: Written) -> None:
    built, page = seeded
    fairness = pd.read_csv(built.results / "chest/evaluate/fairness.csv")
    mine = fairness[(fairness["arm"] == "eps-1.06") & (fairness["finding"] == "mean")]
    panel = text_of(page.split('id="chest-fairness-eps-1-06"')[1].split("</section>")[0])
    gaps = mine[mine["metric"] == "accuracy_difference"]
    assert set(gaps["flagged"]) == {True, False}
    for row in gaps[gaps["group"] != "[0,30)"].to_dict("records"):
        mark = "†" if row["flagged"] else ""
        said = f"{row['value']:+.3f}{mark} {row['simultaneous_low']:+.3f} to {row['simultaneous_high']:+.3f}"
        assert said.replace("-", "\N{MINUS SIGN}") in panel
    worst = mine[(mine["group"] == "(worst)") & (mine["group_by"] == "sex")].iloc[0]
    assert f"ε = 1.06 {worst['value']:.3f}" in text_of(page).replace("\N{NO-BREAK SPACE}", " ")


def test_seeded_noise_is_said_and_no_epsilon_is_guaranteed(seeded: Written) -> None:
    text = text_of(seeded[1])
    assert "Seeded noise: not for release." in text
    assert "Nothing, in this study." in text
    assert "No training of this study guarantees anything" in text
    assert "faces a nominal ε =" in text


def test_released_noise_is_not_called_seeded(private: Written) -> None:
    text = text_of(private[1])
    assert "Seeded noise" not in text
    assert "Each patient whose images the private models were trained on." in text


def test_test_patients_are_said_to_have_no_guarantee_wherever_they_are_shown(seeded: Written) -> None:
    for section in ("summary", "accuracy", "fairness", "privacy"):
        part = seeded[1].split(f'id="chest-{section}"')[1].split("</section>")[0]
        assert re.search(r"no guarantee of differential privacy|not covered by any", text_of(part))


def test_the_way_from_files_to_parts_is_counted(seeded: Written) -> None:
    text = text_of(seeded[1])
    refused = "images found Refused at ingest: missing file: 11 unknown label: 3"
    copies = "Taken out as copies: copy in another part: 2"
    kept = "Pairs that look alike, both kept: near, between patients: 3"
    parts = "Train480 images240 patients Validation80 images40 patients Test240 images120 patients"
    for found, taken_out, prepared in (("814", "", 12), ("816", f"{copies} ", 10)):
        way = f"{found} {refused} {taken_out}800 images of 400 patients accepted Refused at preparation: "
        way += f"constant image: 2 unreadable file: 1 {prepared} images prepared, 64 × 64 pixels {kept} {parts}"
        assert text.count(way) == 1


def test_pictures_are_the_cohorts_own(seeded: Written) -> None:
    built, page = seeded
    found = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]
    assert len(found) == 16
    first = cv2.imdecode(np.frombuffer(found[0], np.uint8), cv2.IMREAD_UNCHANGED)
    paths = sorted(built.roots["chest", "private"].glob("*.png"))
    raw = [one for path in paths if (one := cv2.imread(str(path), cv2.IMREAD_UNCHANGED)) is not None]
    assert len(raw) == len(paths)
    assert first is not None
    assert first.shape == (160, 160)
    assert any(np.corrcoef(first.ravel(), one.ravel())[0, 1] > 0.999 for one in raw)
    assert "None of the 8 findings (female, 61 years, PA)" in text_of(page)


def test_a_private_cohort_shows_no_picture_no_folder_and_no_small_count(private: Written) -> None:
    built, page = private
    assert page.count("data:image/png") == 8
    assert str(built.roots["chest", "private"].parent) not in page
    assert "root: (left out)" in page
    text = html.unescape(text_of(page))
    assert "unknown label: <10 withheld images of 400 patients accepted" in text
    assert text.count("Pairs that look alike") == 1, "those of the public cohort"
    assert "age: under 30 years <10 14 <10 <10 <10 <10" in text
    sexes = text.split("Mean AUROC by sex")[-1].split("Mean AUROC by age")[0]
    assert "female" in sexes
    assert "too few" not in sexes


def test_seeds_stand_apart(private: Written) -> None:
    text = text_of(private[1])
    assert "ε = 0.29, seed 1" in text
    assert "repeated with 2 seeds" in text
    assert "Spread between trainings" in text


def test_each_file_is_named_with_its_hash(seeded: Written) -> None:
    built, page = seeded
    for name in ("evaluate/metrics.csv", "finetune/eps-inf/seed-0/certificate.json", "split/private/balance.csv"):
        assert f"chest/{name}" in page
        assert files.sha256(built.results / "chest" / name) in page
    assert "shard-000" not in page


def test_same_files_same_bytes(seeded: Written) -> None:
    built, page = seeded
    few = [figured for figured in figures.FIGURES if figured.key in ("figure-2", "table-1")]
    one, other = (written(built, drawn=few) for _ in range(2))
    assert one == other
    assert 4 <= one.count("<svg") < page.count("<svg")


def test_a_study_of_one_budget_and_no_plain_model(tmp_path: Path) -> None:
    text = text_of(written(tree.build(tmp_path, budgets="7.89", release=True))).replace("\N{NO-BREAK SPACE}", " ")
    assert "Trained without privacy" not in text
    assert "At the strictest budget, ε = 7.89, it is 0." in text
    assert "Before any fine-tuning on the private cohort, learnt from public images alone, it is 0." in text


def test_text_from_data_is_escaped(tmp_path: Path) -> None:
    built = tree.build(tmp_path, budgets="0.29, inf")
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    base = built.results / "chest"
    files.write_text(base / "ingest/private/refused.csv", f'reason,count\n"{hostile}",3\n')
    manifest = pd.read_parquet(base / "duplicates/private/manifest.parquet").assign(view='"><script>')
    manifest.to_parquet(base / "duplicates/private/manifest.parquet")
    metrics = (base / "evaluate/metrics.csv").read_text().replace(",F,", f",{hostile},")
    files.write_text(base / "evaluate/metrics.csv", metrics)
    built.study_file.write_text(built.study_file.read_text() + f"# {hostile}\n")
    page = written(built)
    outline = Outline(page)
    assert [tag for tag, _ in outline.tags].count("script") == 1
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
def test_a_missing_file_is_named(seeded: Written, tmp_path: Path, name: str) -> None:
    built = tree.Tree(**built_elsewhere(seeded[0], tmp_path))
    (built.results / "chest" / name).unlink()
    with pytest.raises(account.ReportError, match=f"{name} is missing; make it with `snakemake`"):
        report.run(**built.arguments, out=tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_damaged_certificate_is_named(seeded: Written, tmp_path: Path, content: str) -> None:
    built = tree.Tree(**built_elsewhere(seeded[0], tmp_path))
    (built.results / "chest/finetune/eps-0.29/seed-0/certificate.json").write_text(content)
    with pytest.raises(account.ReportError, match=r"certificate\.json .*run snakemake again"):
        report.run(**built.arguments, out=tmp_path / "report.html")


def built_elsewhere(built: tree.Tree, folder: Path) -> dict[str, Any]:
    results = shutil.copytree(built.results, folder / "results")
    return built.arguments | {"results": results}


def test_outline_notices_a_tag_left_open() -> None:
    with pytest.raises(AssertionError):
        Outline("<main><p></main>")


@pytest.mark.parametrize(
    "root", ["/data/kettle", "'/data/St, kettle #2 {x}'", '"/data/kettle, a"', "'${PLACE}/kettle'"]
)
def test_no_spelling_of_a_private_folder_is_shown(
    root: str, private: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "/data")
    study_file = tmp_path / "study.yaml"
    text = re.sub(r"root: [^,]*", lambda _: f"root: {root}", private[0].study_file.read_text(encoding="utf-8"))
    study_file.write_text(text, encoding="utf-8")
    folder = config.load(study_file).experiments["chest"].cohorts.private.root
    study_file.write_text(f"# images from {folder}\n{text}", encoding="utf-8")
    built = dataclasses.replace(private[0], study=config.load(study_file), study_file=study_file)
    page = written(built)
    assert "kettle" not in page
    assert "root: (left out), labels" in page


def test_an_internal_report_says_so_and_hides_no_count(private: Written, tmp_path: Path) -> None:
    built = tree.Tree(**built_elsewhere(private[0], tmp_path))
    (tmp_path / "private").symlink_to(built.private)
    for row in range(12):
        cv2.imwrite(str(built.roots["chest", "private"] / f"image-{row}.png"), np.full((8, 8), 20 * row, np.uint8))
    case = pictures.Missed("data:image/png;base64,AA==", ("Congestion <missed>",), [("score ", number.Said("0.12"))])
    with mock.patch.object(missed, "of", return_value=[case]):
        page = written(built, internal=True)
    text = html.unescape(text_of(page))
    assert "Must not leave the hospital." in text
    assert "exact on this page, which must not leave" in text
    assert "age: under 30 years 7 14 1 2 4 7" in text
    assert "unknown label: 3" in text
    assert "<10" not in text
    assert page.count("data:image/png") == 17
    assert "Congestion <missed>score 0.12" in text
    assert "Missed cases" not in private[1]
    assert "Must not leave" not in private[1]


def test_the_report_that_leaves_looks_at_no_missed_case(private: Written) -> None:
    with mock.patch.object(missed, "of", side_effect=AssertionError):
        assert written(private[0]) == private[1]


def test_each_private_model_has_a_card_that_the_page_leads_to(seeded: Written) -> None:
    built, page = seeded
    for arm in ("eps-0.29", "eps-1.06", "eps-7.89"):
        assert f'<a href="chest/cards/{arm}/seed-0/README.md">' in page
    assert '<a href="#cards">Model cards</a>' in page
    assert not (built.results / "chest/cards/eps-inf").exists()


def test_an_experiment_without_private_trainings_claims_nothing(tmp_path: Path) -> None:
    text = text_of(written(tree.build(tmp_path, private=True, budgets="inf")))
    assert "Nothing, in this experiment:" in text
    assert "No training of this experiment is private" in text
    assert "faces ε" not in text
    other = written(tree.build(tmp_path / "other", private=True, budgets="0.29"))
    assert "The models at ε = ∞" not in text_of(other)
    assert "The models at ε = ∞" in text


def test_a_picture_that_went_missing_is_named(tmp_path: Path) -> None:
    built = tree.build(tmp_path)
    for path in built.roots["chest", "public"].glob("*.png"):
        path.unlink()
    with pytest.raises(ValueError, match=r"missing_file: .*public/image-\d+\.png: there is no such file"):
        written(built)


@pytest.mark.parametrize(
    ("findings", "positive", "said"),
    [
        (["covid_19"], [], "No COVID-19"),
        (["covid_19"], ["covid_19"], "COVID-19"),
        (tree.FINDINGS, [], "None of the 8 findings"),
    ],
)
def test_a_caption_speaks_of_the_findings_of_the_study_alone(
    findings: list[str], positive: list[str], said: str
) -> None:
    facts = pd.Series(
        {finding: int(finding in positive) for finding in findings} | {"sex": "U", "age": np.nan, "view": ""}
    )
    assert pictures._caption(facts, findings=findings) == said


@pytest.mark.parametrize(
    ("path", "argument"),
    [
        ("studies/small.yaml", " --configfile studies/small.yaml"),
        ("my studies/small.yaml", " --configfile 'my studies/small.yaml'"),
        ("../elsewhere/small.yaml", " --configfile small.yaml"),
        ("config.yaml", ""),
    ],
)
def test_the_study_file_is_named_as_it_was_given(
    path: str, argument: str, seeded: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path(path).parent.mkdir(exist_ok=True)
    shutil.copy(seeded[0].study_file, path)
    page = written(dataclasses.replace(seeded[0], study_file=Path(path)))
    assert f".venv/bin/snakemake --cores all{argument}\n" in html.unescape(page)
    assert "elsewhere" not in page
    assert "environment variables" not in page


def test_an_absolute_study_file_is_named_alone(seeded: Written) -> None:
    assert seeded[0].study_file.is_absolute()
    assert ".venv/bin/snakemake --cores all --configfile study.yaml\n" in seeded[1]


@pytest.mark.parametrize("private", [False, True])
def test_environment_variables_of_roots_are_named_without_their_values(
    private: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "/data/kettle")
    monkeypatch.setenv("SHELF", "lid")
    built = tree.build(tmp_path, private=private)
    old = r"root: [^,]*|phantom: {style: private, patients: 60}"
    text = re.sub(old, lambda _: "root: '${PLACE}/${SHELF}/${PLACE}'", built.study_file.read_text(encoding="utf-8"))
    built.study_file.write_text(f"# ${{OTHER}}\n{text}", encoding="utf-8")
    page = written(built)
    names = "The study file names folders by environment variables, to be set first: PLACE, SHELF."
    assert names in text_of(page)
    assert "kettle" not in page


def changed(built: tree.Tree, **groups: int) -> Path:
    """Give groups so many test patients, and add a column that is unknown of every image."""
    path = built.results / "chest/evaluate/metrics.csv"
    metrics = pd.read_csv(path, keep_default_na=False)
    for group, patients in groups.items():
        metrics.loc[metrics["group"] == group, "patients"] = patients
    unknown = metrics[metrics["group_by"] == "all"].assign(group_by="site", group="unknown")
    pd.concat([metrics, unknown]).to_csv(path, index=False)
    return path


def test_groups_of_few_test_patients_show_their_count_alone(tmp_path: Path) -> None:
    built = tree.build(tmp_path, budgets="0.29, inf")
    metrics = pd.read_csv(changed(built, F=9, M=10), keep_default_na=False)
    text = text_of(written(built))
    by_sex = text.split("Mean AUROC by sex")[-1].split("Mean AUROC by age")[0]
    assert "female 9 " in by_sex
    assert "male 10 " in by_sex
    assert by_sex.count("too few") == metrics["arm"].nunique()
    assert "The group served worst is female" not in text


def test_a_grouping_that_is_unknown_of_all_is_left_out(tmp_path: Path) -> None:
    built = tree.build(tmp_path, budgets="0.29, inf")
    changed(built)
    path = built.results / "chest/split/private/balance.csv"
    balance = pd.read_csv(path, dtype={"value": str})
    balance.loc[balance["column"] == "age", "value"] = "unknown"
    balance.to_csv(path, index=False)
    page = written(built)
    assert "by site" not in page
    assert "Mean AUROC by sex" in page
    private = text_of(page).split("The private cohort by part of the split")[-1].split("Public cohort:")[0]
    assert "age: " not in private
    assert "sex: female" in private


def test_a_study_is_held_against_the_publication(tmp_path: Path) -> None:
    built = tree.build(tmp_path, budgets="0.29, 7.89, inf")
    with pytest.raises(AssertionError):
        held_against(built)
    text = built.study_file.read_text(encoding="utf-8").replace("    seeds:", "    compare: uka_cxr\n    seeds:")
    built.study_file.write_text(text, encoding="utf-8")
    built = dataclasses.replace(built, study=config.load(built.study_file))
    with pytest.raises(account.ReportError, match=r"published\.csv is missing"):
        held_against(built)
    base = built.results / "chest"
    arguments = {name: value for name, value in built.arguments.items() if name != "study_file"}
    with mock.patch.object(saving, "FIGURES", figures.FIGURES[:1]):
        report.figures_of(**arguments, published=RESOURCES)
    assert {path.suffix for path in (base / "figures").iterdir()} == {".svg", ".pdf", ".csv"}
    rows = held_against(built)
    compared = pd.read_csv(base / "figures/published.csv")
    female = compared.query("metric == 'auroc' and epsilon == 0.29 and group == 'female'").iloc[0]
    said = f"female AUROC 0.29 {female['ours']:.3f} {female['theirs']:.3f} sd {female['theirs_sd']:.3f} "
    assert said + f"{female['difference']:.3f}".replace("-", "\N{MINUS SIGN}") in rows


def held_against(built: tree.Tree) -> str:
    text = text_of(written(built, published=RESOURCES))
    assert "Ours beside the published results" in text
    assert "The cohorts differ: other patients, devices, readers" in text
    return text


def test_the_certificates_say_which_epsilon_counts(seeded: Written) -> None:
    after = seeded[1].split("The guarantee of each private training")[-1].split("</figure>")[1]
    note = text_of(after.split("</p>")[0])
    assert "The ε reported is by the privacy-loss distribution (PLD)." in note
    assert "(RDP) is a looser bound, and the privacy random variable (PRV) an upper bound within 0.01" in note


def test_what_the_certificates_say_of_the_ledger_is_shown(private: Written) -> None:
    text = text_of(private[1]).replace("\N{NO-BREAK SPACE}", " ")
    assert "ε = 0.29, seed 1 declared 11.5 6 × 10⁻⁶ abababababab 3 cdcdcdcdcdcd" in text
