"""What is said and shown of CT scans: in the page, in model cards and in checklists, alone and beside radiographs."""

import base64
import contextlib
import html
import io
import math
import re
import shutil
from itertools import pairwise
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pandas as pd
import pytest

from privrad import cli
from privrad.imaging import ct
from privrad.imaging.read import Unreadable, read_scan
from privrad.report import account, cards, checklist, cuts, figures, leaving, missed, page, pictures, report
from privrad.report.account import Account
from privrad.report.markdown import Paper
from privrad.report.number import joined
from privrad.training import checkpoint
from tests.report import ct_tree, reading, tree
from tests.report.test_cards import blocks, facts
from tests.report.test_report import Outline, text_of

OF_RADIOGRAPHS = re.compile(r"radiograph|frontal|pixels|equalised|identical|PNG|JPEG|bedside|MIMIC", re.IGNORECASE)
Written = tuple[tree.Tree, str]


def written(built: tree.Tree, *, internal: bool = False, papers: bool = False) -> str:
    """The page without drawings and checklists, and without cards unless `papers`: these have tests of their own."""
    out, none = built.results / "report.html", mock.Mock(return_value=[])
    with (
        mock.patch.object(figures, "FIGURES", ()),
        mock.patch.object(checklist, "of", none),
        mock.patch.object(cards, "of", cards.of if papers else none),
    ):
        report.run(**built.arguments, out=out, internal=internal)
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The page that stays in the hospital, of scans alone."""
    built = ct_tree.build(tmp_path_factory.mktemp("scans"))
    manifest = pd.read_parquet(built.results / "pancreas/duplicates/private/manifest.parquet")
    rows = manifest[["image_id", "patient_id"]].assign(split="test", finding="pdac", label=manifest["pdac"], score=0.1)
    for arm in ("eps-0.29", "eps-inf"):
        folder = built.results / "pancreas/predict" / arm / "seed-0"
        folder.mkdir(parents=True)
        rows.to_parquet(folder / "predictions.parquet")
    return built, written(built, internal=True)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The page that may leave, of radiographs and of scans."""
    built = ct_tree.build(tmp_path_factory.mktemp("both"), chest=True)
    return built, written(built, papers=True)


@pytest.fixture(scope="module")
def held(scans: Written) -> Account:
    return leaving.shown(exact(scans[0]), internal=False)


@pytest.fixture(scope="module")
def card(held: Account) -> Paper:
    return cards.of(held, study="demo")[0]


def exact(built: tree.Tree) -> Account:
    experiment = built.study.experiments["pancreas"]
    return account.read("pancreas", experiment, results=built.results, private=built.private, roots=built.roots)


def pictures_of(text: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    read = [cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_UNCHANGED) for data in found]
    return [np.asarray(one) for one in read]


def test_the_page_speaks_of_scans(scans: Written) -> None:
    text = html.unescape(text_of(scans[1]))
    assert not OF_RADIOGRAPHS.search(text)
    assert not re.search(r"\bimages?\b", text.split("The study file")[0])
    assert "Whoever sees a model and knows all other scans recognises" in text
    assert "trained on that is recognised by who sees the model and knows all other scans" in text
    assert "Training on the private cohort" in text
    assert "used for training, validation and test" in text
    assert "Scored on CT scans: PDAC (pancreatic ductal adenocarcinoma)." in text
    way = "414 scans found Refused at ingest: missing file: 11 unknown label: 3 400 scans of 200 patients accepted "
    assert way + "Refused at preparation: missing slices: 2 6 scans prepared, 40 × 36 × 24 voxels" in text
    assert "clipped to \N{MINUS SIGN}150 to 250 HU, resized to 40 × 36 × 24 voxels and spread over 256 greys" in text
    assert "No PDAC (male, 66 years) 88 × 56 × 48 to 40 × 36 × 24 voxels" in text.replace("years)88", "years) 88")
    assert "train: patients train: scans" in text
    assert "three planes (axial, coronal, sagittal" in text


def test_numbers_of_the_preparation_lead_to_the_study_file(scans: Written) -> None:
    built, text = scans
    read = reading.Page(text)
    assert read.bare == []
    found = {one.column: one.text for one in read.numbers if one.column.startswith("/experiments/pancreas/image/")}
    named = {f"/experiments/pancreas/image/size/{place}": str(side) for place, side in enumerate(ct_tree.SIZE)}
    window = {"window/0": "\N{MINUS SIGN}150", "window/1": "250"}
    assert found == named | {f"/experiments/pancreas/image/{key}": said for key, said in window.items()}
    files = reading.Files(built.results, built.study)
    for one in read.numbers:
        if one.column in found:
            assert files.written(one) == one.text


@pytest.mark.parametrize(("place", "name"), [(0, "scan-0.nii.gz"), (1, ct_tree.SERIES)], ids=["nifti", "dicom"])
def test_a_pair_shows_the_middle_slices_of_one_scan_in_the_same_places(place: int, name: str, scans: Written) -> None:
    built, text = scans
    found = pictures_of(text.split('id="pancreas-missed"')[0])
    assert len(found) == 8
    before, after = found[2 * place : 2 * place + 2]
    scan = read_scan(built.roots["pancreas", "private"] / name)
    prepared = ct.prepare(scan, size=ct_tree.SIZE, window=ct_tree.WINDOW)
    given = {"lengths": cuts.lengths(scan), "longest": before.shape[1]}
    came = cuts.of_scan(scan, window=ct_tree.WINDOW, beside=prepared.shape)
    for shown, expected in zip((before, after), (came, cuts.middles(prepared)), strict=True):
        np.testing.assert_array_equal(shown, cuts.montage(expected, **given))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.95
    body = (before.max(axis=1) > 0).sum() / (before[:, : before.shape[1] // 3].max(axis=0) > 0).sum()
    assert body == pytest.approx(288 / 317, abs=0.05)  # the height of the scan beside the width of the body, in mm


@pytest.mark.parametrize("place", [0, 1], ids=["nifti", "dicom"])
def test_a_reader_of_ct_finds_everything_where_it_is_looked_for(place: int, scans: Written) -> None:
    for shown in pictures_of(scans[1])[2 * place : 2 * place + 2]:
        sides = (88 * 4, 88 * 4, 56 * 5)  # mm that the axial, coronal and sagittal cut are wide
        edges = np.cumsum((0, *sides)) * (shown.shape[1] - 2 * cuts.GAP) / sum(sides)
        axial, coronal, sagittal = (
            cv2.blur(shown[:, round(start) + cuts.GAP * order : round(end) + cuts.GAP * order], (9, 9)).astype(int)
            for order, (start, end) in enumerate(pairwise(edges))
        )
        middle, across = len(shown) // 2, axial.shape[1] // 2
        assert axial[middle + 35, across] > 220 > axial[middle - 35, across]  # the spine lies below
        assert axial[middle - 8, across - 40] > axial[middle - 8, across + 40] + 20  # the patient's right on the left
        assert coronal[middle - 30, across - 40] > coronal[middle + 50, across - 40] + 20  # the head is above
        assert sagittal[middle, round(0.75 * sagittal.shape[1])] > 220  # the back is on the right


def test_a_private_scan_leaves_in_no_picture_and_is_named_by_its_id_alone(tmp_path: Path) -> None:
    built = ct_tree.build(tmp_path, private=True)
    shutil.rmtree(built.roots["pancreas", "private"])
    held = exact(built)
    assert pictures.pairs(held.cohorts[0], experiment=held.experiment) == []
    with pytest.raises(Unreadable, match=r"missing_file: [0-9a-f]{32}: "):
        pictures.pairs(held.cohorts[0], experiment=held.experiment, internal=True)


def test_a_scan_cut_short_is_named(tmp_path: Path) -> None:
    built = ct_tree.build(tmp_path)
    held = exact(built)
    series, nifti = (built.roots["pancreas", "private"] / name for name in (ct_tree.SERIES, "scan-0.nii.gz"))
    for files, said in ((list(series.iterdir()), r"abdomen/scan-1: "), ([nifti], r"abdomen/scan-0\.nii\.gz: ")):
        for file in files:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(Unreadable, match=f"unreadable_file: .*{said}"):
            pictures.pairs(held.cohorts[0], experiment=held.experiment)


def test_a_missed_scan_shows_its_middle_slices(scans: Written) -> None:
    built, written_page = scans
    manifest = pd.read_parquet(built.results / "pancreas/duplicates/private/manifest.parquet")
    case = missed.of(exact(built), predictions=built.results / "pancreas/predict", count=1)[0]
    assert joined(case.caption) == "PDAC overlooked"
    told = [joined(fact).striptags() for fact in case.facts]
    assert told[1:3] == ["Male, 66 years.", "Labelled with PDAC."]
    assert told[3].startswith("Scan ")
    row = manifest["image_id"].tolist().index(told[3].removeprefix("Scan "))
    assert told[4] == f"File {ct_tree.SERIES}"
    assert row == 1
    scan = read_scan(built.roots["pancreas", "private"] / ct_tree.SERIES)
    volume = ct.prepare(scan, size=ct_tree.SIZE, window=ct_tree.WINDOW)
    [shown] = pictures_of(f'src="{case.picture}"')
    expected = cuts.montage(cuts.middles(volume), lengths=cuts.lengths(scan), longest=shown.shape[1])
    np.testing.assert_array_equal(shown, expected)
    assert case.picture in written_page
    text = html.unescape(text_of(written_page))
    assert "Missed cases" in text
    assert "Middle slices: axial, coronal, sagittal. The head is up; on the left is the patient's right" in text


def test_a_card_speaks_of_scans(card: Paper) -> None:
    text = re.sub(r"```.*?```", "", card.text, flags=re.DOTALL)
    assert not OF_RADIOGRAPHS.search(text)
    assert "A neural network that scores CT scans for 1 finding: PDAC (pancreatic ductal adenocarcinoma)." in text
    assert "clipped to \N{MINUS SIGN}150 to 250 HU, resized to 40 × 36 × 24 voxels" in text
    assert "input of one channel, which a 1 × 1 × 1 convolution turns into three" in text
    assert "adaptive max-pooling to 2 × 2 × 2" in text
    assert "| Group | Patients | Scans |" in text


def test_the_metadata_of_a_card_are_those_of_ct(card: Paper) -> None:
    matter = facts(card.text)
    assert {"computed-tomography", "3d", "binary-classification"} <= set(matter["tags"])
    assert "multi-label-classification" not in matter["tags"]
    [result] = matter["model-index"][0]["results"]
    assert result["task"]["name"] == "Findings on CT scans"
    names = [metric["name"] for metric in result["metrics"]]
    assert "AUROC, PDAC" in names
    assert not [name for name in names if "mean over findings" in name]


def test_its_python_scores_a_scan(held: Account, card: Paper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = held.experiment
    architecture = checkpoint.Architecture.of(experiment.model, activation="mish", findings=experiment.findings)
    checkpoint.save(tmp_path / "model.safetensors", architecture.build(seed=3), architecture=architecture)
    ct_tree.written(tmp_path / "scan.nii.gz", np.random.default_rng(0))
    (tmp_path / "scan.nii.gz").rename(tmp_path / "scan")
    [script] = blocks(card.text, "python")
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(script, "card", "exec"), {})
    [line] = said.getvalue().splitlines()
    assert re.fullmatch(r"pdac: 0\.\d{3}", line)


def test_its_command_prepares_a_scan(card: Paper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ct_tree.written(tmp_path / "scan.nii.gz", np.random.default_rng(0))
    (tmp_path / "scan.nii.gz").rename(tmp_path / "scan")
    monkeypatch.chdir(tmp_path)
    words = blocks(card.text, "sh")[1].split()
    assert words[0] == "privrad"
    assert cli.main(words[1:]) == 0
    assert read_scan(tmp_path / "prepared.nii.gz").shape == ct_tree.SIZE[::-1]


def test_checklists_speak_of_scans(held: Account) -> None:
    papers = checklist.of(held, study="demo")
    assert len(papers) == 2
    for paper in papers:
        assert not OF_RADIOGRAPHS.search(paper.text)
        assert not re.search(r"[{}]", paper.text)
        assert "that score CT scans for PDAC (pancreatic ductal adenocarcinoma)." in paper.text
        assert "All accepted scans were used; no sample size was calculated." in paper.text
        assert "scanners, slice thickness, contrast phases" in paper.text
        assert "no bias in convolutions, each 3 × 3 kernel laid along one of three planes" in paper.text
    assert "The voxels of one CT scan." in papers[0].text
    assert "is no regular volume in Hounsfield units" in papers[0].text


def test_two_experiments_stand_in_one_page(both: Written) -> None:
    outline = Outline(both[1])
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    for name in ("chest", "pancreas"):
        sections = [f"{name}-{section}" for section in page.CONTENTS]
        assert [each for each in outline.ids if each in sections] == sections
        assert [link[1:] for link in outline.links if link[1:] in sections][: len(sections)] == sections
    assert outline.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    assert all(held.get("alt") for tag, held in outline.tags if tag == "img")


def test_each_experiment_is_told_in_its_own_words(both: Written) -> None:
    chest, pancreas = (html.unescape(text_of(part)) for part in both[1].split("<article")[1:])
    pancreas = pancreas.split("Model cards and checklists")[0]
    assert "12 images prepared, 64 × 64 pixels" in chest
    assert "scored on ct scans" not in chest.lower()
    assert not re.search(r"\bscans?\b|voxel", chest)
    assert "6 scans prepared, 40 × 36 × 24 voxels" in pancreas
    assert not OF_RADIOGRAPHS.search(pancreas)
    assert "Pancreas: 1 finding" in pancreas
    assert "Chest: 8 findings" in chest


def test_the_model_cards_of_both_are_listed(both: Written) -> None:
    links = {link for link in Outline(both[1]).links if not link.startswith("#")}
    assert {link.split("/")[0] for link in links} == {"chest", "pancreas"}
    assert all((both[0].results / link).is_file() for link in links)


def test_what_is_not_known_of_a_scan_is_not_said() -> None:
    known = {"pdac": 1, "chronic_pancreatitis": 0, "sex": "U", "age": math.nan, "view": ""}
    facts = pd.Series(known)
    assert pictures._caption(facts, findings=["pdac"]) == "PDAC"
    assert pictures._caption(facts, findings=["pdac", "chronic_pancreatitis"]) == "PDAC"
    both = pd.Series(known | {"chronic_pancreatitis": 1})
    assert pictures._caption(both, findings=["chronic_pancreatitis", "pdac"]) == "Chronic pancreatitis and PDAC"
