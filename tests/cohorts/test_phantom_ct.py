"""Computer-drawn CT of the abdomen: same bytes, a true table, readable files, and no way to the label but disease."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from privrad import config
from privrad.cohorts import abdomen, phantom, phantom_ct, phantom_ct_files
from privrad.cohorts.drawing_ct import pancreas
from privrad.cohorts.phantom_ct_files import Header
from privrad.imaging.ct import prepare
from privrad.imaging.read import read_scan

COLUMNS = ["scan", "patient_id", "study_id", "study_date", "age", "sex", "scanner", "phase", "split", "pdac"]


def a_phantom(**changes: object) -> config.Phantom:
    settings = {"patients": 4, "size": 64, "style": "private", "images_per_patient": (1, 1)}
    return config.Phantom.model_validate(settings | changes)


def tree(root: Path) -> dict[str, str]:
    """The hash of every file below `root`."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def a_body(*, seed: int = 3, sex: str = "M", age: int = 60) -> abdomen.Body:
    return abdomen.draw_body(np.random.default_rng(seed), sex=sex, age=age)


def draw(*, tumour: bool, seed: int = 0, **changes: object) -> abdomen.Drawn:
    settings = {"scanner": abdomen.SCANNERS[1], "phase": "pancreatic", "size": 64} | changes
    settings = {"body": a_body(seed=3 + seed), "rng": np.random.default_rng(seed)} | settings
    return abdomen.draw(tumour=tumour, **settings)  # type: ignore[arg-type]


def change(*, seed: int = 0, **changes: object) -> np.ndarray:
    """How much a tumour changes each voxel, in HU within the window."""
    ill, well = (np.clip(draw(tumour=tumour, seed=seed, **changes).hu, -150, 250) for tumour in (True, False))
    difference: np.ndarray = np.abs(ill.astype(np.int32) - well)
    return difference


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pdac") / "cohort"
    phantom.run(a_phantom(patients=20, images_per_patient=(1, 2), reader_noise=0.15), layout="pdac", seed=7, out=out)
    return out


@pytest.fixture(scope="module")
def table(cohort: Path) -> pd.DataFrame:
    return pd.read_csv(cohort / "pdac.csv", dtype=str)


@pytest.fixture(scope="module")
def examined() -> pd.DataFrame:
    """Who 4,000 patients are and how they were scanned, without any picture."""
    rows = []
    for patient, rng in phantom_ct.each(a_phantom(patients=4000), seed=5):
        body = abdomen.draw_body(rng, sex=patient.sex, age=patient.age)
        for one in patient.examinations:
            facts = {"ill": one.ill, "written": one.written, "sex": patient.sex, "age": one.age, "split": patient.split}
            facts |= {"scanner": one.scanner.name, "phase": one.phase, "nifti": one.nifti, "fat": body.fat}
            rows.append(facts | {"width": body.scale[0], "visceral": body.visceral, "difficulty": one.difficulty})
    return pd.DataFrame(rows)


def test_same_seed_same_bytes_and_more_patients_leave_the_first_ones(tmp_path: Path) -> None:
    for name, count, seed in (("one", 4, 13), ("two", 4, 13), ("more", 6, 13), ("other", 4, 12)):
        phantom.run(a_phantom(patients=count), layout="pdac", seed=seed, out=tmp_path / name)
    one, more = tree(tmp_path / "one"), tree(tmp_path / "more")
    assert one == tree(tmp_path / "two")
    assert one != tree(tmp_path / "other")
    scans = {name: value for name, value in one.items() if name.startswith("scans/")}
    assert any(name.endswith(".nii.gz") for name in scans)
    assert any(name.endswith(".dcm") for name in scans)
    assert scans.items() < more.items()
    assert (tmp_path / "more/pdac.csv").read_text().startswith((tmp_path / "one/pdac.csv").read_text())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prevalence": {"cardiomegaly": 0.1}}, r"prevalence: unknown \['cardiomegaly'\].*pdac"),
        ({"difficulty": {"[0,40)": 2}}, r"difficulty: unknown \['\[0,40\)'\].*\[0,30\)"),
        ({"images_per_patient": (4, 2)}, r"\[4, 2\]: write the smaller number first"),
    ],
)
def test_what_is_not_drawn_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        phantom.run(a_phantom(**changes), layout="pdac", seed=1, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_table_and_the_truth_beside_it(cohort: Path, table: pd.DataFrame) -> None:
    assert list(table) == COLUMNS
    assert table["scan"].is_unique
    assert table["study_id"].is_unique
    assert len(table) > table["patient_id"].nunique() == 20
    assert table["scan"].str.match(r"scans/P\d{7}(_2)?(\.nii\.gz)?$").all()
    files = table["scan"].str.endswith(".nii.gz")
    assert all((cohort / scan).is_file() == is_file for scan, is_file in zip(table["scan"], files, strict=True))
    assert all((cohort / scan).is_dir() != is_file for scan, is_file in zip(table["scan"], files, strict=True))
    assert table.groupby("patient_id")[["sex", "split"]].nunique().eq(1).all(axis=None)
    shares = table.drop_duplicates("patient_id")["split"].value_counts()
    assert shares.to_dict() == {"train": 12, "validation": 4, "test": 4}
    assert set(table["pdac"]) == {"yes", "no"}
    assert pd.to_datetime(table["study_date"], format="%Y-%m-%d").notna().all()
    truth = pd.read_parquet(cohort / "truth.parquet")
    assert list(truth) == ["image", "pdac", "difficulty"]
    assert truth["image"].tolist() == table["scan"].tolist()
    wrong = truth["pdac"].eq(1).ne(table["pdac"].eq("yes"))
    assert 0 < wrong.sum() < 0.4 * len(wrong)


def test_every_way_of_storing_is_there(cohort: Path, table: pd.DataFrame) -> None:
    assert set(table["scanner"]) == {scanner.name for scanner in abdomen.SCANNERS}
    assert set(table["phase"]) == set(abdomen.PHASES)
    slices = [pydicom.dcmread(path) for path in cohort.rglob("*.dcm")]
    localizers = [one for one in slices if "LOCALIZER" in one.ImageType]
    axial = [one for one in slices if "LOCALIZER" not in one.ImageType]
    assert localizers
    assert {(one.PixelRepresentation, int(one.RescaleIntercept)) for one in axial} >= {(0, -1024), (1, -1024)}
    assert {one.PatientPosition for one in axial} == {"HFS", "FFS"}
    assert {one.file_meta.TransferSyntaxUID.is_implicit_VR for one in axial} == {True, False}
    assert {one.get("PixelPaddingValue") for one in axial} >= {None, 63536}
    assert len({one.SOPInstanceUID for one in slices}) == len(slices)
    assert all(one.SOPInstanceUID == one.file_meta.MediaStorageSOPInstanceUID for one in slices)
    directions = {tuple(np.sign(np.diag(read_scan(path).affine))[:3]) for path in cohort.rglob("*.nii.gz")}
    assert directions >= {(-1, -1, 1), (-1, -1, -1)}


@pytest.mark.parametrize("scanner", abdomen.SCANNERS, ids=lambda scanner: scanner.name)
def test_nifti_and_dicom_give_the_same_volume_in_its_place(scanner: abdomen.Scanner, tmp_path: Path) -> None:
    drawn = draw(tumour=True, scanner=scanner)
    header = Header("P1", "S1", "F", 64, pd.Timestamp("2020-02-29").date(), scanner, "portal", ("0",))
    (tmp_path / "scan.nii.gz").write_bytes(phantom_ct_files.nifti(drawn, header=header))
    (tmp_path / "scan").mkdir()
    names = []
    for name, content in phantom_ct_files.series(drawn, header=header, rng=np.random.default_rng(1)):
        (tmp_path / "scan" / name).write_bytes(content)
        names.append(name)
    assert names != sorted(names)
    assert len(set(names)) == len(drawn.hu) + scanner.localizer
    scans = [read_scan(tmp_path / name) for name in ("scan.nii.gz", "scan")]
    volumes = [prepare(scan, size=(48, 40, 24), window=(-150, 250)) for scan in scans]
    assert np.abs(volumes[0].astype(int) - volumes[1]).max() <= 1
    at = np.array((20, 30, len(drawn.hu) // 3))  # column, row, slice
    place = np.array(drawn.origin) + at * (drawn.pixel, drawn.pixel, drawn.thickness)
    for scan in scans:
        column, row, plane = np.rint(np.linalg.solve(scan.affine, np.append(place, 1))[:3]).astype(int)
        assert scan.affine[:3, :3] @ (column, row, plane) + scan.affine[:3, 3] == pytest.approx(place, abs=0.01)
        near = np.stack(list(scan.planes()))[plane, row - 1 : row + 2, column]
        around = drawn.hu[at[2], at[1] - 1 : at[1] + 2, at[0]]
        assert near == pytest.approx(around if scan.affine[1, 1] > 0 else around[::-1])


def test_a_tumour_changes_its_own_place_only() -> None:
    """The mass, the gland upstream and the bile ducts lie in a box around the pancreas, the liver's hilum included."""
    for seed in range(4):
        ill = change(seed=seed, size=96) > 3
        planes, rows, columns = (np.flatnonzero(ill.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
        depth = len(ill)
        assert 0.02 * ill.size > ill.sum() > 0
        assert planes.min() > 0.1 * depth
        assert planes.max() < 0.95 * depth
        assert rows.min() > 20
        assert rows.max() < 72
        assert columns.min() > 10
        assert columns.max() < 85


def test_a_tumour_stays_in_its_place_and_grows() -> None:
    middles, volumes = [], []
    for scan, grown in ((0, 1.0), (1, 1.0), (2, 1.5)):
        ill, well = (
            draw(tumour=tumour, body=a_body(), rng=np.random.default_rng(scan), grown=grown) for tumour in (True, False)
        )
        planes, rows, columns = np.nonzero(np.abs(ill.hu.astype(int) - well.hu) > 30)
        middle = np.median([columns, rows, planes], axis=1) * (ill.pixel, ill.pixel, ill.thickness)
        middles.append(middle + np.array(ill.origin))
        volumes.append(len(planes) * ill.pixel**2 * ill.thickness)
    assert np.ptp(middles, axis=0).max() < 20  # mm, of which a voxel takes 6
    assert volumes[1] == pytest.approx(volumes[0], rel=0.5)
    assert volumes[2] > 1.5 * max(volumes[:2])


def test_the_later_scans_of_a_patient_show_a_larger_tumour(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[tuple[int, float]] = []
    true_draw = abdomen.draw

    def noted(body: abdomen.Body, **settings: Any) -> abdomen.Drawn:
        drawn.append((body.seed, settings["grown"]))
        return true_draw(body, **settings)

    monkeypatch.setattr(abdomen, "draw", noted)
    phantom.run(a_phantom(patients=2, images_per_patient=(3, 3)), layout="pdac", seed=1, out=tmp_path / "out")
    assert [seed for seed, _ in drawn[:3]] == [drawn[0][0]] * 3 != [seed for seed, _ in drawn[3:]]
    for scans in (drawn[:3], drawn[3:]):
        grown = [factor for _, factor in scans]
        assert 1 == grown[0] < grown[1] < grown[2] < 3


def test_a_tumour_is_dark_and_widens_the_duct_upstream() -> None:
    body = a_body()
    gland = pancreas.draw_gland(np.random.default_rng(2), body=body)
    tumour = replace(pancreas.draw_tumour(np.random.default_rng(2), difficulty=1), place=0.3, bile=0.8, atrophy=0.5)
    thinned = pancreas.with_tumour(gland, tumour)
    along = np.linspace(0, 1, len(gland.tail))
    assert np.array_equal(thinned.tail_widths[along <= 0.3], gland.tail_widths[along <= 0.3])
    assert thinned.tail_widths[along > 0.45] == pytest.approx(0.5 * gland.tail_widths[along > 0.45])
    assert thinned.bile.common > gland.bile.common
    assert thinned.bile.gallbladder > gland.bile.gallbladder
    assert pancreas.with_tumour(gland, None) == gland
    for phase in abdomen.PHASES:
        ill, well = (draw(tumour=tumour, phase=phase, seed=2).hu for tumour in (True, False))
        where = (np.abs(ill.astype(int) - well) > 8) & (well > 20)
        assert ill[where].mean() < well[where].mean() - 10


def test_difficulty_makes_a_tumour_fainter() -> None:
    effects = [sum(change(seed=seed, difficulty=d).mean() for seed in range(3)) for d in (0.6, 1.0, 2.0, 4.0)]
    assert effects == sorted(effects, reverse=True)
    assert effects[-1] > 0


def test_patients_have_the_papers_shares(examined: pd.DataFrame) -> None:
    share = 552 / 975
    assert abs(examined["sex"].eq("M").mean() - share) < 4 * np.sqrt(share * (1 - share) / len(examined))
    assert abs(examined["ill"].mean() - 173 / 325) < 4 * np.sqrt(0.25 / len(examined))
    assert examined["age"].between(30, 91).all()
    ages = examined.groupby("ill")["age"].mean()
    assert 4 < ages[True] - ages[False] < 10
    assert abs((examined["ill"] != examined["written"]).mean() - 0.03) < 0.012
    assert abs(examined["nifti"].mean() - 0.5) < 0.04


def test_prevalence_is_as_asked() -> None:
    for asked in (0.0, 0.3, 1.0):
        settings = a_phantom(patients=1500, prevalence={"pdac": asked})
        ill = [patient.examinations[0].ill for patient, _ in phantom_ct.each(settings, seed=2)]
        assert abs(np.mean(ill) - asked) <= 4 * np.sqrt(asked * (1 - asked) / 1500)


@pytest.mark.parametrize("fact", ["sex", "scanner", "phase", "nifti", "split"])
def test_nothing_but_disease_depends_on_the_label(examined: pd.DataFrame, fact: str) -> None:
    """Chi-squared of a fact by label, against its 1 in 10,000 quantile for at most 3 degrees of freedom."""
    counts = pd.crosstab(examined[fact], examined["ill"]).to_numpy(float)
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 21.1


@pytest.mark.parametrize("fact", ["width", "fat", "visceral"])
def test_a_body_depends_on_the_label_by_age_and_sex_alone(examined: pd.DataFrame, fact: str) -> None:
    known = np.column_stack([np.ones(len(examined)), examined["age"], examined["age"] ** 2, examined["sex"].eq("M")])
    values, labels = examined[fact].to_numpy(float), examined["ill"].to_numpy(float)
    left = [series - known @ np.linalg.lstsq(known, series, rcond=None)[0] for series in (values, labels)]
    assert abs(np.corrcoef(*left)[0, 1]) < 4 / np.sqrt(len(examined))


def test_field_noise_and_thickness_do_not_depend_on_the_tumour() -> None:
    for scanner in abdomen.SCANNERS:
        ill, well = (draw(tumour=tumour, scanner=scanner) for tumour in (True, False))
        assert (ill.pixel, ill.thickness, ill.origin, ill.hu.shape) == (
            well.pixel,
            well.thickness,
            well.origin,
            well.hu.shape,
        )
        behind = slice(3 * len(ill.kept) // 4, None)
        assert ill.hu[:, behind].std() > 100
        assert np.array_equal(ill.hu[:, behind], well.hu[:, behind])


def test_an_abdomen_has_its_tissues() -> None:
    drawn = draw(tumour=False, size=128, scanner=abdomen.SCANNERS[0])
    depth, size, _ = drawn.hu.shape
    body = drawn.hu > -300
    wide = body.any(axis=(0, 1)).sum() * drawn.pixel
    assert 280 < wide < 420
    assert 180 < depth * drawn.thickness < 280
    upper, middle = drawn.hu[-depth // 8 :], drawn.hu[depth // 2 : 3 * depth // 4]
    inside = slice(size // 3, 2 * size // 3), slice(size // 4, 3 * size // 4)
    assert (upper[:, *inside] < -700).mean() > 0.2  # lungs
    assert (middle[:, *inside] < -700).mean() < 0.1
    assert (middle > 300).mean() > 0.003  # bone
    assert ((middle > -130) & (middle < -70)).mean() > 0.1  # fat
    right, left = middle[:, :, : size // 2], middle[:, :, size // 2 :]
    solid = [((side > 45) & (side < 140)).sum() for side in (right, left)]
    assert solid[0] > 1.3 * solid[1]  # the liver


@pytest.mark.parametrize("size", [64, 160])
def test_scans_of_any_size_show_the_same_body(size: int) -> None:
    drawn = draw(tumour=False, size=size)
    assert drawn.hu.dtype == np.int16
    assert drawn.hu.shape[1:] == (size, size)
    assert drawn.hu.min() >= -1024
    assert drawn.hu.max() > 250
    if size == 64:
        assert 24 <= len(drawn.hu) <= 52
    means = [float(np.clip(one.hu, -150, 250).mean()) for one in (drawn, draw(tumour=False))]
    assert means[0] == pytest.approx(means[1], abs=4)


def test_slabs_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw(tumour=True)
    monkeypatch.setattr(abdomen, "_SLAB", 5 * 64 * 64)
    assert np.array_equal(whole.hu, draw(tumour=True).hu)


def test_a_contact_sheet_holds_every_scan() -> None:
    page = abdomen.sheet([draw(tumour=False), draw(tumour=True)], slices=4, cell=80)
    sheet = cv2.imdecode(np.frombuffer(page, np.uint8), cv2.IMREAD_UNCHANGED)
    assert sheet is not None
    assert sheet.shape == (160, 480)
    assert all(sheet[:80, at : at + 80].std() > 10 for at in range(0, 480, 80))
