"""privrad inspect: what its page says of cohorts that the test writes, and of real radiographs."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from privrad import cli, config
from privrad.cohorts import identity, ingest, split
from privrad.inspect import confounded, copies, parts, samples, seen
from tests.cohorts.trees import pdac_row, uka_row, write_pdac, write_series
from tests.imaging.made import dataset

ROOT = Path(__file__).parents[1]
HOSTILE = "<img src=x onerror=alert(1)>.png"


class Page(HTMLParser):
    """The tables of a page by caption, its lists of warnings by section, and all tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tables: dict[tuple[str, str], list[list[str]]] = {}
        self.warnings: dict[str, list[str]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._section, self._caption, self._said, self._looks = "", "", "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.tags.append((tag, held))
        self._looks = held.get("class") == "look" if tag == "ul" else self._looks
        if tag == "section":
            self._section = str(held["id"])
        elif tag == "tr":
            self.tables.setdefault((self._section, self._caption), []).append([])
        if tag in ("figcaption", "th", "td", "li"):
            self._said = ""
        elif tag == "small":
            self._said += " | "

    def handle_data(self, data: str) -> None:
        self._said += data.replace("\N{NO-BREAK SPACE}", " ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "figcaption":
            self._caption = self._said
        elif tag in ("th", "td"):
            self.tables[self._section, self._caption][-1].append(self._said)
        elif tag == "li" and self._looks:
            self.warnings.setdefault(self._section, []).append(self._said)
        elif tag == "ul":
            self._looks = False


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 20), dtype=np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


def private_rows() -> list[dict[str, str]]:
    """60 patients with one image and 20 with two: AP for the enlarged hearts, PA for the others; and three faults."""
    rows = []
    for number in range(100):
        patient = number if number < 80 else number - 80
        enlarged, bedside = patient % 2 == 0, "" if number % 4 else "yes"
        age, heart = ("" if number < 30 else "71"), "enlarged" if enlarged else "normal"
        changes = {"age": age, "view": "AP" if enlarged else "PA", "bedside": bedside, "heart": heart}
        congested = {"congestion": "moderate" if patient < 6 else "negative"}
        rows.append(uka_row(f"p{number}.png", f"P{patient}", sex="FM"[patient % 2], **changes, **congested))
    rows[50]["image"] = HOSTILE
    broken = [{"view": "LATERAL"}, {"heart": "huge"}, {"age": "300"}]
    return rows + [uka_row(f"x{place}.png", "X", **change) for place, change in enumerate(broken)]


def write(root: Path, rows: list[dict[str, str]], *, seed: int) -> None:
    root.mkdir()
    pd.DataFrame(rows).to_csv(root / "uka_cxr.csv", index=False)
    for number, row in enumerate(rows):
        (root / row["image"]).write_bytes(picture(1000 * seed + number))


def study_of(folder: Path, **cohorts: Any) -> Path:
    """The tiny study with other cohorts and the two findings of the tests' tables."""
    study = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text(encoding="utf-8"))
    chest = study["experiments"]["chest"]
    chest["findings"] = ["cardiomegaly", "congestion"]
    if "public" not in cohorts:
        chest["pretraining"] = chest["training"]["positive_weights"] = "none"
    chest |= {"cohorts": cohorts, "split": {"public": {"by": "hash"}, "private": {"by": "hash"}}}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def declared(name: str, root: Path, **more: Any) -> dict[str, Any]:
    labels = {"cardiomegaly": "heart", "congestion": "congestion"}
    return {"id": name, "layout": "uka_cxr", "sensitivity": "public", "root": str(root), "labels": labels} | more


@dataclass(frozen=True)
class Inspected:
    folder: Path
    study: Path
    page: Page
    rows: pd.DataFrame  # of the private table that ingest can take


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspected]:
    """The page of a study whose private cohort has copies, a broken picture and a name that is written to do harm."""
    folder = tmp_path_factory.mktemp("inspect")
    with chdir(folder):
        private, public = private_rows(), [uka_row(f"q{number}.png", f"P{number}") for number in range(12)]
        write(folder / "private_cohort", private, seed=1)
        write(folder / "public_cohort", public, seed=2)
        mine, theirs = folder / "private_cohort", folder / "public_cohort"
        (mine / "p3.png").write_bytes((mine / HOSTILE).read_bytes())
        (mine / "p81.png").write_bytes((mine / "p1.png").read_bytes())
        (theirs / "q2.png").write_bytes((mine / "p7.png").read_bytes())
        for row in public[4:]:
            (theirs / row["image"]).write_bytes(b"\x89PNG\r\n\x1a\nno picture at all")
        near = folder / "results/tiny/chest/duplicates/public/counts.csv"
        near.parent.mkdir(parents=True)
        near.write_text("kind,where,action,pairs,images\nnear,between_patients,reported,41,77\n")
        budget = {"epsilon": 8, "delta": 1e-4, "unit": "patient"}
        study = study_of(folder, public=declared("theirs", theirs), private=declared("ours", mine, budget=budget))
        assert cli.main(["inspect", str(study), "--samples", "5"]) == 0
        text = (folder / "private/tiny/inspect.html").read_text(encoding="utf-8")
        yield Inspected(folder, study, Page(text), pd.DataFrame(private[:100]))


def test_the_page_stays_in_the_house_and_asks_nothing_of_anyone(inspected: Inspected) -> None:
    file = inspected.folder / "private/tiny/inspect.html"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {tag for tag, _ in inspected.page.tags} & {"script", "link", "iframe", "object", "form"} == set()
    sources = [held["src"] or "" for tag, held in inspected.page.tags if tag == "img"]
    assert len(sources) > 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not [name for _, held in inspected.page.tags for name in held if name.startswith("on") or name == "style"]
    assert not re.search(r"https?://", inspected.page.text)
    assert "must stay in the house" in inspected.page.text


def test_refusals_stand_with_reason_and_remedy(inspected: Inspected) -> None:
    _, *lines = inspected.page.tables["chest-private", "Rows that are not taken"]
    assert sorted(line[:2] for line in lines) == [
        ["implausible_age", "1"],
        ["not_frontal", "1"],
        ["unknown_label", "1"],
    ]
    assert all(line[2].endswith(".") for line in lines)
    assert any(said.startswith("2 rows of 103 cannot be used") for said in inspected.page.warnings["chest-private"])


def test_findings_are_counted_by_image_patient_and_group(inspected: Inspected) -> None:
    rows, page = inspected.rows, inspected.page
    enlarged = rows[rows["heart"] == "enlarged"]
    assert page.tables["chest-private", "How frequent each finding is"][1] == [
        "Cardiomegaly",
        f"{len(enlarged)} % | {len(enlarged)}",
        f"{100 * enlarged['patient_id'].nunique() / 80:.3g} % | {enlarged['patient_id'].nunique()}",
    ]
    head, sizes, hearts, _ = page.tables["chest-private", "Positive images by sex and age"]
    assert head == ["finding", "female", "male", "70 to 79 years", "age unknown"]
    assert sizes == ["all images", *[str(n) for n in ((rows["sex"] == "F").sum(), (rows["sex"] == "M").sum(), 70, 30)]]
    old = int((enlarged["age"] == "71").sum())
    assert hearts[1:4] == ["100 % | 50", "0 % | 0", f"{100 * old / 70:.3g} % | {old}"]


def test_findings_that_stand_together_and_what_is_unknown(inspected: Inspected) -> None:
    rows, page = inspected.rows, inspected.page
    congested = rows["congestion"] == "moderate"
    both = int((congested & (rows["heart"] == "enlarged")).sum())
    said = page.tables["chest-private", "Findings that stand together"][2]
    assert said == [
        f"Congestion | {congested.sum()}",
        f"{100 * both / congested.sum():.3g} % | {both}",
        f"100 % | {congested.sum()}",
    ]
    lacking = {line[0]: line[1] for line in page.tables["chest-private", "What is not known"][1:]}
    assert lacking == {"age": "30 % | 30", "sex": "0 % | 0", "view": "0 % | 0", "bedside": "75 % | 75"}
    told = page.warnings["chest-private"]
    assert any(said.startswith("age is not known for 30 %") for said in told)
    assert any(said.startswith("bedside is not known for 75 %") for said in told)


def test_the_images_of_a_patient_are_counted(inspected: Inspected) -> None:
    lines = inspected.page.tables["chest-private", "Images of a patient"][1:]
    assert lines == [["1", "75 % | 60"], ["2", "25 % | 20"]]


def test_a_view_that_gives_the_finding_away_is_told(inspected: Inspected) -> None:
    told = [said for said in inspected.page.warnings["chest-private"] if said.startswith("How an image was taken")]
    assert len(told) == 1
    assert "cardiomegaly 100 % against 0 %" in told[0]
    assert "congestion" not in told[0]


@pytest.mark.parametrize(
    ("positive", "negative", "apart"),
    [((9, 10), (5, 10), True), ((9, 10), (8, 10), False), ((1, 10), (3, 10), True), ((9, 9), (0, 50), False)],
)
def test_a_view_is_told_from_a_fifth_apart_and_ten_images(
    positive: tuple[int, int], negative: tuple[int, int], apart: bool
) -> None:
    shares = confounded.Shares("nodule", "AP", positive, negative)
    assert shares.apart is apart
    assert len(confounded.told([shares])) == apart


def test_the_split_is_the_one_that_ingest_and_split_make(inspected: Inspected) -> None:
    with chdir(inspected.folder):
        experiment = config.load(inspected.study).experiments["chest"]
    cohort, out = experiment.cohorts.private, inspected.folder / "made"
    key = identity.key_for("public", seed=7, folder=out)
    assert cohort.root
    places = {name: out / name for name in ("manifest", "refused", "rejects")}
    ingest.run(cohort, findings=experiment.findings, root=cohort.root, key=key, **places)
    made: dict[str, Any] = {"manifest": out / "manifest", "assignment": out / "assignment", "balance": out / "balance"}
    split.run(experiment.split.private, findings=experiment.findings, key=key, **made)
    balance = pd.read_csv(out / "balance").set_index(["column", "value", "split"])["patients"]
    lines = {
        line[0]: line[1:] for line in inspected.page.tables["chest-private", "The parts that the study's split makes"]
    }
    for name, group in {
        "all images": ("all", "all"),
        "female": ("sex", "F"),
        "Congestion": ("congestion", "positive"),
    }.items():
        wanted = [balance[(*group, part)] for part in ("train", "validation", "test")]
        assert [int(cell.split()[0]) for cell in lines[name]] == wanted
    scarce = {part for part in ("train", "validation", "test") if balance["congestion", "positive", part] < 10}
    told = [said for said in inspected.page.warnings["chest-private"] if "congestion (" in said]
    assert {said.split()[1] for said in told} == {{"train": "training"}.get(part, part) for part in scarce}


def test_a_population_or_delta_that_does_not_fit_is_told(inspected: Inspected) -> None:
    told = " ".join(inspected.page.warnings["chest-private"])
    with chdir(inspected.folder):
        study = config.load(inspected.study)
    experiment, key = study.experiments["chest"], bytes(32)
    root = inspected.folder / "private_cohort"
    found = seen.read("chest", "private", experiment, root=root, key=key)
    training = int((found.parts == "train").sum()) if found.parts is not None else 0
    assert parts.units(found) == training > 0
    assert "privacy.population declares 30 patients" in told
    privacy = experiment.privacy.model_copy(update={"population": training, "delta": 1 / training})
    fitting = experiment.model_copy(update={"privacy": privacy})
    (said,) = parts.unlike(seen.read("chest", "private", fitting, root=root, key=key))
    assert said.startswith("privacy.delta")
    record = privacy.model_copy(update={"unit": "record", "max_images_per_patient": 1})
    assert (
        parts.units(seen.read("chest", "private", fitting.model_copy(update={"privacy": record}), root=root, key=key))
        == training
    )


def test_copies_are_found_within_and_between_cohorts(inspected: Inspected) -> None:
    page = inspected.page
    groups = {line[0]: line[1:] for line in page.tables["copies", "Files with the same bytes"][1:]}
    assert groups["of several cohorts"] == ["1", "2"]
    assert groups["of several patients of one cohort"] == ["2", "10"]
    assert groups["of one patient"] == ["1", "2"]
    examples = page.tables["copies", "The first 5 groups that cross patients or cohorts"][1:]
    assert ["ours", "P50", HOSTILE] in examples
    assert ["ours", "P3", "p3.png"] in examples
    assert len(page.warnings["copies"]) == 2


def test_no_more_is_read_for_copies_than_the_bound(inspected: Inspected) -> None:
    with chdir(inspected.folder):
        experiment = config.load(inspected.study).experiments["chest"]
    found = seen.read("chest", "private", experiment, root=inspected.folder / "private_cohort", key=bytes(32))
    nothing = copies.of([found], most=1)
    assert (len(nothing.found), nothing.unread) == (0, 4)
    assert "4 files were not compared to the end" in copies.table(nothing).remark
    assert len(copies.of([found, found]).found) == 4
    (said,) = copies.shared([found, found])
    assert said == ("chest-private and chest-private are one cohort, ours: 80 patients in both.", False)
    assert found.parts is not None
    tested = int((found.parts == "test").sum())
    moved = replace(found, parts=found.parts.replace({"test": "train"}))
    ((torn, wrong),) = copies.shared([found, moved])
    assert wrong
    assert f"of whom {tested} come into another part there" in torn


def test_a_picture_that_cannot_be_read_shows_why(inspected: Inspected) -> None:
    refused = [held for tag, held in inspected.page.tags if tag == "p" and held.get("class") == "refusal"]
    assert refused
    assert "unreadable_file" in inspected.page.text
    assert "20 × 24 pixels, PNG, 8 bits, grey" in inspected.page.text


def test_of_a_dicom_file_nothing_is_shown_but_how_it_is_stored(tmp_path: Path) -> None:
    write(tmp_path / "ours", [uka_row("1.dcm", "1"), uka_row("2.dcm", "2")], seed=4)
    pixels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    planted = {"PatientName": "Planted^Name", "ImageComments": "planted", "PatientID": "Planted"}
    made = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12} | planted
    dataset(pixels, **made).save_as(tmp_path / "ours/1.dcm", enforce_file_format=True)
    odd = dataset(pixels, **made | {"PhotometricInterpretation": "PLANTED"})
    odd.save_as(tmp_path / "ours/2.dcm", enforce_file_format=True)
    study = study_of(tmp_path, private=declared("ours", tmp_path / "ours"))
    with chdir(tmp_path):
        assert cli.main(["inspect", str(study), "--out", "page.html"]) == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "20 × 20 pixels, DICOM, 12 bits, MONOCHROME1" in text
    assert "planted" not in text.lower()


def test_samples_are_of_different_patients_and_do_not_follow_the_order_of_the_table(inspected: Inspected) -> None:
    with chdir(inspected.folder):
        experiment = config.load(inspected.study).experiments["chest"]
    found = seen.read("chest", "private", experiment, root=inspected.folder / "private_cohort", key=bytes(32))
    chosen = samples.choose(found.taken, found.findings, count=12)
    again = samples.choose(found.taken.iloc[::-1].reset_index(drop=True), found.findings, count=12)
    assert list(chosen["image"]) == list(again["image"])
    assert chosen["patient"].nunique() == len(chosen) == 12
    assert not chosen[found.findings].iloc[0].any()
    assert chosen[found.findings].any().all()
    assert len(samples.choose(found.taken, found.findings, count=1)) == 1


def test_near_copies_are_shown_where_they_were_counted(inspected: Inspected) -> None:
    assert inspected.page.tables["chest-public", "Pictures that look alike"][1] == [
        "near",
        "between patients",
        "reported",
        "41",
        "77",
    ]
    assert ("chest-private", "Pictures that look alike") not in inspected.page.tables
    assert "results/tiny/chest/duplicates/private/counts.csv" in inspected.page.text


def test_a_cohort_that_is_not_there_costs_its_part_of_the_page(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [uka_row(f"{number}.png", str(number), view="LATERAL") for number in range(3)]
    write(tmp_path / "ours", rows, seed=3)
    study = study_of(tmp_path, public=declared("gone", tmp_path / "gone"), private=declared("ours", tmp_path / "ours"))
    with chdir(tmp_path):
        assert cli.main(["inspect", str(study), "--out", "page.html"]) == 1
        assert "cohort gone: folder" in capfd.readouterr().err
        page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "is missing" in page.warnings["chest-public"][0]
    assert "No row is left, so there are no radiographs to use." in page.warnings["chest-private"]


def complaint(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The one line that a call ends with, and exit code 2."""
    assert cli.main(["inspect", *arguments]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    return line


def test_what_cannot_be_inspected_costs_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tiny = str(ROOT / "tests/tiny.yaml")
    with chdir(tmp_path):
        assert f"--configfile {tiny} results/tiny/chest/phantom/public" in complaint([tiny], capfd)
        assert "experiment 'liver' is not in" in complaint([tiny, "--experiment", "liver"], capfd)
        assert "must be 0 to 500" in complaint([tiny, "--samples", "-1"], capfd)
        assert "must not lie in results/" in complaint([tiny, "--out", "results/page.html"], capfd)
        assert "study file no.yaml" in complaint(["no.yaml"], capfd)
    assert list(tmp_path.iterdir()) == []


def test_scans_show_their_middle_slices(tmp_path: Path) -> None:
    rows = [pdac_row("one", "1", pdac="yes"), pdac_row("two", "2", split="test")]
    write_pdac(tmp_path / "scans", [row | {"scan": f"{row['scan']}/"} for row in rows])
    for row in rows:
        (tmp_path / "scans" / row["scan"] / "1.dcm").unlink()
        write_series(tmp_path / "scans" / row["scan"], patient=row["patient_id"])
    pd.DataFrame(rows).to_csv(tmp_path / "scans/pdac.csv", index=False)
    study = yaml.safe_load((ROOT / "tests/tiny_ct.yaml").read_text(encoding="utf-8"))
    ours = {
        "id": "scans",
        "layout": "pdac",
        "sensitivity": "public",
        "root": str(tmp_path / "scans"),
        "labels": {"pdac": "pdac"},
    }
    study["experiments"]["pancreas"]["cohorts"]["private"] = ours
    (tmp_path / "ct.yaml").write_text(yaml.safe_dump(study))
    with chdir(tmp_path):
        assert cli.main(["inspect", "ct.yaml"]) == 0
        page = Page((tmp_path / "private/tiny_ct/inspect.html").read_text(encoding="utf-8"))
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 4
    assert re.search(r"16 × 16 × \d+ voxels of [\d.]+ × [\d.]+ × [\d.]+ mm", page.text)
    assert [line[0] for line in page.tables["pancreas-private", "What is not known"][1:]] == ["age", "sex"]
    assert "2 folders of slices were not compared" in page.text


def test_real_radiographs_are_counted_and_shown(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVRAD_REAL_DATA", str(real_data))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["inspect", str(ROOT / "studies/nih_pneumonia.yaml"), "--samples", "3", "--out", "page.html"]) == 0
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    table = pd.read_csv(real_data / "cxr_nih/metadata.csv", dtype=str)
    positive = table[["Pneumonia" in named.split("|") for named in table["Finding Labels"]]]
    numbers = len(positive), positive["Patient ID"].nunique()
    said = page.tables["chest-private", "How frequent each finding is"][1]
    assert [int(cell.split(" | ")[1]) for cell in said[1:]] == list(numbers)
    lines = page.tables["chest-private", "Images of a patient"][1:]
    assert sum(int(line[1].split(" | ")[1]) for line in lines) == table["Patient ID"].nunique()
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 6
