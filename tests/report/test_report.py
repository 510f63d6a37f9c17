"""The report as a file: what it says, what it must not say, and when it refuses."""

import base64
import dataclasses
import html
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from privrad import config, files
from privrad.report import account, pictures, report
from tests.report import tree

Written = tuple[tree.Tree, str]
Attributes = list[tuple[str, str | None]]


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return written(tree.build(tmp_path_factory.mktemp("seeded")))


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return written(tree.build(tmp_path_factory.mktemp("private"), private=True, seeds="0, 1", budgets="0.29, inf"))


def written(built: tree.Tree) -> Written:
    out = built.results / "report.html"
    report.run(**built.arguments, out=out)
    return built, out.read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Ids, links, outside references, headings, tables and images of a page, and whether its tags close in order."""

    VOID = frozenset(("meta", "img", "link", "br", "hr"))

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
        self.headings += [int(tag[1])] if tag in ("h1", "h2", "h3", "h4") else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def text_of(page: str) -> str:
    body = re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", body.replace("&#39;", "'"))


def test_nothing_leaves_the_page(seeded: Written) -> None:
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


def test_the_page_is_sound_and_can_be_heard(seeded: Written) -> None:
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


def test_the_summary_says_the_numbers_of_the_files(seeded: Written) -> None:
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


def test_the_summary_tells_what_is_lost_against_the_matched_recipe(seeded: Written, tmp_path: Path) -> None:
    built, page = seeded
    differences = pd.read_csv(built.results / "chest/evaluate/differences.csv")
    chosen = differences.query("reference == 'eps-inf-matched' and finding == 'mean' and group_by == 'all'")
    text = text_of(page).replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")
    for arm, name in (("eps-0.29", "ε = 0.29"), ("eps-7.89", "ε = 7.89")):
        lost = chosen.set_index("arm").loc[arm]
        said = f"Against the matched recipe (same training without clipping and noise), {name} is"
        assert f"{said} {lost['value']:.3f} lower (difference {lost['low']:.3f} to {lost['high']:.3f}" in text
    _, other = written(tree.build(tmp_path, budgets="7.89"))
    assert "Against the matched recipe" not in other


def test_every_accuracy_in_the_file_stands_on_the_page(seeded: Written) -> None:
    built, page = seeded
    metrics = pd.read_csv(built.results / "chest/evaluate/metrics.csv")
    enough = (metrics["finding"] == "mean") & (metrics["patients"] >= 10)
    chosen = metrics[(metrics["group_by"] == "all") | enough]
    text = text_of(page)
    for row in chosen.to_dict("records"):
        assert f"{row['value']:.3f}" in text
        assert f"{row['low']:.3f} to {row['high']:.3f}" in text


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


def test_refusals_are_counted_by_reason(seeded: Written) -> None:
    text = text_of(seeded[1])
    assert "ingest: missing file 11 11" in text
    assert "prepare: constant image 2 2" in text


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


def test_seeds_stand_apart(private: Written) -> None:
    text = text_of(private[1])
    assert "ε = 0.29, seed 1" in text
    assert "repeated with seeds 0 and 1" in text


def test_each_file_is_named_with_its_hash(seeded: Written) -> None:
    built, page = seeded
    for name in ("evaluate/metrics.csv", "finetune/eps-inf/seed-0/certificate.json", "split/private/balance.csv"):
        assert f"chest/{name}" in page
        assert files.sha256(built.results / "chest" / name) in page
    assert "shard-000" not in page


def test_same_files_same_bytes(seeded: Written, tmp_path: Path) -> None:
    built, page = seeded
    report.run(**built.arguments, out=tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_a_study_of_one_budget_and_no_plain_model(tmp_path: Path) -> None:
    _, page = written(tree.build(tmp_path, budgets="7.89", release=True))
    text = text_of(page)
    assert "Trained without privacy" not in text
    assert "At the strictest budget, ε = 7.89, it is 0." in text
    assert "Before any fine-tuning on the private cohort, learnt from public images alone, it is 0." in text


def test_text_from_data_is_escaped(tmp_path: Path) -> None:
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
    report.run(**built.arguments, out=tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "kettle" not in page
    assert "root: (left out), labels" in page


def test_totals_and_differences_give_no_small_count_away(tmp_path: Path) -> None:
    built = tree.build(tmp_path, private=True)
    path = built.results / "chest/split/private/balance.csv"
    balance = pd.read_csv(path)
    few = (balance["column"] == "sex") & (balance["value"] == "M") & (balance["split"] == "validation")
    assert few.sum() == 1
    balance.loc[few, ["patients", "images"]] = 4
    balance.to_csv(path, index=False)
    _, page = written(built)
    private, public = html.unescape(text_of(page)).split("Public cohort Cohort", maxsplit=1)
    assert "Prepared withheld images" in private
    assert "prepare: constant image <10 2" in public
    table = public.split("The private cohort by part of the split")[2]
    male = re.search(r"sex: male( \S+){6}", table)
    female = re.search(r"sex: female( \S+){6}", table)
    assert male is not None
    assert female is not None
    assert male[0].split()[4:6] == ["<10", "<10"]
    assert female[0].split()[4:6] == ["withheld", "withheld"]


def test_an_experiment_without_private_trainings_claims_nothing(tmp_path: Path) -> None:
    _, page = written(tree.build(tmp_path, private=True, budgets="inf"))
    text = text_of(page)
    assert "Nothing, in this experiment:" in text
    assert "No training of this experiment is private" in text
    assert "faces ε" not in text
    _, other = written(tree.build(tmp_path / "other", private=True, budgets="0.29"))
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
        (["covid_19"], [], "No covid 19"),
        (["covid_19"], ["covid_19"], "Covid 19"),
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
    _, page = written(dataclasses.replace(seeded[0], study_file=Path(path)))
    assert f".venv/bin/snakemake --cores all{argument}</code>" in html.unescape(page)
    assert "elsewhere" not in page
    assert "environment variables" not in page


def test_an_absolute_study_file_is_named_alone(seeded: Written) -> None:
    assert seeded[0].study_file.is_absolute()
    assert ".venv/bin/snakemake --cores all --configfile study.yaml</code>" in seeded[1]


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
    _, page = written(built)
    names = "The study file names folders by environment variables, to be set first: PLACE , SHELF ."
    assert names in text_of(page)
    assert "kettle" not in page


def few_patients(built: tree.Tree, **groups: int) -> None:
    """Give groups so many test patients, and add a column that is unknown of every image."""
    path = built.results / "chest/evaluate/metrics.csv"
    metrics = pd.read_csv(path, dtype={"group": str})
    for group, patients in groups.items():
        metrics.loc[metrics["group"] == group, "patients"] = patients
    unknown = metrics[metrics["group_by"] == "all"].assign(group_by="bedside", group="unknown")
    pd.concat([metrics, unknown]).to_csv(path, index=False)


def test_groups_of_few_test_patients_show_their_count_alone(tmp_path: Path) -> None:
    built = tree.build(tmp_path, budgets="0.29, inf")
    few_patients(built, F=9, M=10)
    path = built.results / "chest/evaluate/metrics.csv"
    metrics = pd.read_csv(path, dtype={"group": str})
    mean = metrics["finding"] == "mean"
    metrics.loc[mean & (metrics["group"] == "F"), "value"] = 0.111
    metrics.to_csv(path, index=False)
    _, page = written(built)
    text = text_of(page)
    by_sex = text.split("Mean AUROC by sex evaluate")[1].split("Mean AUROC by age")[0]
    assert "Patients 9 10 " in by_sex
    assert by_sex.count("too few") == metrics["arm"].nunique()
    assert "0.111" not in text
    for row in metrics[mean & (metrics["group"] == "F")].to_dict("records"):
        assert f"{row['low']:.3f} to {row['high']:.3f}" not in by_sex
    for row in metrics[mean & (metrics["group"] == "M")].to_dict("records"):
        assert f"{row['low']:.3f} to {row['high']:.3f}" in by_sex
    assert "The group served worst is female" not in text
    drawn = page.split('id="chest-fairness"')[1].split("</svg>")[0]
    assert re.search(r">male<", drawn)
    assert not re.search(r">female<", drawn)


def test_no_figure_of_groups_where_all_are_of_few_patients(tmp_path: Path) -> None:
    built = tree.build(tmp_path, budgets="0.29, inf")
    path = built.results / "chest/evaluate/metrics.csv"
    metrics = pd.read_csv(path, dtype={"group": str})
    metrics.loc[metrics["group_by"] != "all", "patients"] = 9
    metrics.to_csv(path, index=False)
    _, page = written(built)
    assert "<svg" not in page.split('id="chest-fairness"')[1].split("</section>")[0]
    assert "The group served worst" not in page


def test_a_grouping_that_is_unknown_of_all_is_left_out(tmp_path: Path) -> None:
    built = tree.build(tmp_path, budgets="0.29, inf")
    few_patients(built)
    path = built.results / "chest/split/private/balance.csv"
    balance = pd.read_csv(path, dtype={"value": str})
    balance.loc[balance["column"] == "age", "value"] = "unknown"
    balance.to_csv(path, index=False)
    _, page = written(built)
    assert "by bedside" not in page
    assert "Mean AUROC by sex" in page
    private = text_of(page).split("The private cohort by part of the split")[-1]
    assert "age: unknown" not in private
    assert "sex: female" in private


def test_the_certificates_say_which_epsilon_counts(seeded: Written) -> None:
    after = seeded[1].split("The guarantee of each private training")[-1].split("</figure>")[1]
    note = text_of(after.split("</p>")[0])
    assert "The ε reported is by the privacy-loss distribution (PLD)." in note
    assert "(RDP) is a looser bound, and the privacy random variable (PRV) an upper bound within 0.01" in note
