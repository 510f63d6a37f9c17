"""Computer-drawn cohorts: same bytes, true tables, readable files, and findings where anatomy puts them."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from privrad import config
from privrad.cohorts import chest, patients, phantom, phantom_dicom
from privrad.cohorts.drawing import anatomy, disease
from privrad.cohorts.patients import FINDINGS

LAYOUTS = {"mimic_cxr_jpg": "public", "uka_cxr": "private"}


def a_phantom(**changes: object) -> config.Phantom:
    settings = {"patients": 6, "size": 64, "style": "private", "images_per_patient": (1, 3)}
    return config.Phantom.model_validate(settings | changes)


def tree(root: Path) -> dict[str, str]:
    """The hash of every file below `root`."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def a_body(**changes: object) -> chest.Body:
    rng = np.random.default_rng(3)
    return chest.draw_body(rng, sex=str(changes.get("sex", "M")), age=50)


def draw(grades: dict[str, int], *, seed: int = 0, size: int = 128, **changes: object) -> np.ndarray:
    settings = {"style": "public", "bedside": False, "devices": chest.Devices(), "size": size} | changes
    return chest.frontal(a_body(), grades, rng=np.random.default_rng(seed), **settings)  # type: ignore[arg-type]


def effect(finding: str, grade: int, *, difficulty: float = 1.0) -> float:
    """How much a finding changes the picture, averaged over pixels and four poses."""
    pairs = [[draw(grades, seed=seed, difficulty=difficulty) for grades in ({finding: grade}, {})] for seed in range(4)]
    return float(np.mean([np.abs(ill - well).mean() for ill, well in pairs]))


@pytest.fixture(scope="module")
def uka(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uka") / "cohort"
    phantom.run(a_phantom(patients=30, images_per_patient=(2, 3)), layout="uka_cxr", seed=7, out=out)
    return out


@pytest.fixture(scope="module")
def mimic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mimic") / "cohort"
    phantom.run(a_phantom(patients=60, style="public", reader_noise=0), layout="mimic_cxr_jpg", seed=7, out=out)
    return out


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_seed_same_bytes(layout: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        phantom.run(a_phantom(style=LAYOUTS[layout]), layout=layout, seed=11, out=tmp_path / name)
    phantom.run(a_phantom(style=LAYOUTS[layout]), layout=layout, seed=12, out=tmp_path / "other")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert tree(tmp_path / "one") != tree(tmp_path / "other")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_more_patients_leave_the_first_ones_as_they_were(layout: str, tmp_path: Path) -> None:
    for count in (3, 5):
        phantom.run(a_phantom(patients=count, style=LAYOUTS[layout]), layout=layout, seed=1, out=tmp_path / str(count))
    few, many = tree(tmp_path / "3"), tree(tmp_path / "5")
    pictures = {name: value for name, value in few.items() if name.endswith((".jpg", ".dcm"))}
    assert pictures
    assert pictures.items() < many.items()


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "cohort"
    out.mkdir()
    (out / "stale.txt").write_text("stale")
    phantom.run(a_phantom(patients=1), layout="uka_cxr", seed=1, out=out)
    assert not (out / "stale.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]


def test_a_run_that_fails_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "cohort"
    out.mkdir()
    (out / "kept.txt").write_text("kept")

    def broken(*_: object, **__: object) -> bytes:
        raise RuntimeError("disk full")

    monkeypatch.setattr(phantom_dicom, "encode", broken)
    with pytest.raises(RuntimeError, match="disk full"):
        phantom.run(a_phantom(patients=1), layout="uka_cxr", seed=1, out=out)
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]
    assert (out / "kept.txt").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prevalence": {"fracture": 0.1}}, r"prevalence: unknown \['fracture'\].*cardiomegaly"),
        ({"difficulty": {"[0,40)": 2}}, r"difficulty: unknown \['\[0,40\)'\].*\[0,30\)"),
        ({"images_per_patient": (4, 2)}, r"\[4, 2\]: write the smaller number first"),
    ],
)
def test_what_is_not_drawn_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        phantom.run(a_phantom(**changes), layout="uka_cxr", seed=1, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_layout_that_is_not_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'nih_cxr14'.*choose one of mimic_cxr_jpg, pdac, uka_cxr"):
        phantom.run(a_phantom(), layout="nih_cxr14", seed=1, out=tmp_path / "out")


def test_the_table_of_the_private_layout(uka: Path) -> None:
    table = pd.read_csv(uka / "uka_cxr.csv", dtype=str)
    first = ["image", "patient_id", "study_id", "study_date", "age", "sex", "view", "bedside"]
    assert list(table) == [*first, *FINDINGS]
    assert table["image"].is_unique
    assert all((uka / image).is_file() for image in table["image"])
    assert set(table["cardiomegaly"]) <= set(patients.HEART_GRADES)
    assert all(set(table[finding]) <= set(patients.GRADES) for finding in FINDINGS[1:])
    assert table.groupby("patient_id")["sex"].nunique().max() == 1
    assert set(table["bedside"]) == {"yes", "no"}
    assert (table["view"].eq("AP") == table["bedside"].eq("yes")).all()
    assert pd.to_datetime(table["study_date"], format="%Y-%m-%d").notna().all()


def test_truth_stands_beside_each_image(uka: Path, mimic: Path) -> None:
    for root, suffix in ((uka, "*.dcm"), (mimic, "*.jpg")):
        truth = pd.read_parquet(root / "truth.parquet")
        assert list(truth) == ["image", *FINDINGS, "difficulty"]
        assert sorted(truth["image"]) == sorted(str(path.relative_to(root)) for path in root.rglob(suffix))
        assert set(np.unique(truth[list(FINDINGS)])) == {0, 1}


def test_every_kind_of_dicom_file_is_there(uka: Path) -> None:
    files = [pydicom.dcmread(path) for path in uka.rglob("*.dcm")]
    assert len(files) >= 60
    assert {file.Modality for file in files} == {"DX", "CR"}
    assert {file.PhotometricInterpretation for file in files} == {"MONOCHROME1", "MONOCHROME2"}
    assert {file.BitsStored for file in files} == {12, 14, 16}
    assert {file.file_meta.TransferSyntaxUID.name for file in files} == {
        "Explicit VR Little Endian",
        "RLE Lossless",
        "JPEG 2000 Image Compression (Lossless Only)",
    }
    assert {"VOILUTSequence" in file for file in files} == {True, False}
    assert {"RescaleSlope" in file for file in files} == {True, False}
    assert len({file.SOPInstanceUID for file in files}) == len(files)
    assert all(str(file.PatientName).startswith("PHANTOM^") for file in files)


def shown(file: pydicom.Dataset) -> np.ndarray:
    """The picture that pydicom makes of a file, bright where dense."""
    values = apply_voi_lut(apply_modality_lut(file.pixel_array, file), file).astype(float)
    return -values if file.PhotometricInterpretation == "MONOCHROME1" else values


def test_a_dicom_file_gives_its_picture_back() -> None:
    picture = draw({"pneumonic_infiltrate_right": 4}, size=96)
    day = date(2020, 2, 29)
    header = phantom_dicom.Header("P1", "S1", 1, "F", 64, day, "PA", entropy=("0",))
    seen = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        storage = phantom_dicom.draw_storage(rng)
        seen |= {(storage.photometric, storage.lut), (storage.photometric, storage.syntax)}
        content = phantom_dicom.encode(picture, header=header, storage=storage, rng=rng)
        file = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
        assert file.pixel_array.max() < 2**storage.bits
        assert np.corrcoef(shown(file).ravel(), picture.ravel())[0, 1] > 0.999
    assert len(seen) == 4 + 6


def test_a_dicom_file_is_the_one_that_pydicom_writes() -> None:
    header = phantom_dicom.Header("P1", "S1", 2, "F", 64, date(2020, 2, 29), "PA", entropy=("0",))
    seen = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        storage = phantom_dicom.draw_storage(rng)
        picture = rng.random((65, 63 + seed % 2), dtype=np.float32)
        content = phantom_dicom.encode(picture, header=header, storage=storage, rng=rng)
        file = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
        seen |= {storage.lut, storage.syntax} | {element.keyword for element in file.iterall()}  # decodes each value
        again = pydicom.filebase.DicomBytesIO()
        file.save_as(again, enforce_file_format=True)
        assert again.getvalue() == content
    assert seen >= {
        True,
        False,
        "LUTData",
        "RescaleSlope",
        "PixelSpacing",
        ExplicitVRLittleEndian,
        JPEG2000Lossless,
        RLELossless,
    }


def test_mimics_tables_have_their_real_columns(mimic: Path) -> None:
    metadata = pd.read_csv(mimic / "mimic-cxr-2.0.0-metadata.csv.gz", dtype=str)
    labels = pd.read_csv(mimic / "mimic-cxr-2.0.0-chexpert.csv.gz", dtype=str)
    split = pd.read_csv(mimic / "mimic-cxr-2.0.0-split.csv.gz", dtype=str)
    people = pd.read_csv(mimic / "patients.csv.gz", dtype=str)
    assert list(metadata)[:9] == [
        "dicom_id",
        "subject_id",
        "study_id",
        "PerformedProcedureStepDescription",
        "ViewPosition",
        "Rows",
        "Columns",
        "StudyDate",
        "StudyTime",
    ]
    assert list(labels) == ["subject_id", "study_id", *phantom.CHEXPERT]
    assert list(split) == ["dicom_id", "study_id", "subject_id", "split"]
    assert list(people) == ["subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"]
    assert set(metadata["ViewPosition"]) == {"PA", "AP", "LATERAL"}
    assert 0.04 < metadata["ViewPosition"].eq("LATERAL").mean() < 0.18
    assert set(labels[list(phantom.CHEXPERT)].stack().dropna()) == {"1.0", "0.0", "-1.0"}
    assert labels[list(phantom.CHEXPERT)].isna().mean().mean() > 0.5
    assert split.groupby("subject_id")["split"].nunique().max() == 1
    assert not labels.duplicated(["subject_id", "study_id"]).any()
    assert set(metadata["subject_id"]) == set(people["subject_id"])
    row = metadata.iloc[0]
    path = mimic / f"files/p{row.subject_id[:2]}/p{row.subject_id}/s{row.study_id}/{row.dicom_id}.jpg"
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.shape == (int(row.Rows), int(row.Columns))


def test_mimics_labels_follow_from_the_findings(mimic: Path) -> None:
    truth = pd.read_parquet(mimic / "truth.parquet")
    truth["study_id"] = truth["image"].str.extract(r"/s(\d+)/")[0].astype(int)
    labels = pd.read_csv(mimic / "mimic-cxr-2.0.0-chexpert.csv.gz").set_index("study_id")
    rows = truth.groupby("study_id")[list(FINDINGS)].max()
    labels = labels.loc[rows.index]
    sources = {
        "Cardiomegaly": ["cardiomegaly"],
        "Consolidation": ["congestion"],
        "Edema": ["congestion"],
        "Pleural Effusion": ["pleural_effusion_right", "pleural_effusion_left"],
        "Pneumonia": ["pneumonic_infiltrate_right", "pneumonic_infiltrate_left"],
        "Atelectasis": ["atelectasis_right", "atelectasis_left"],
    }
    for label, findings in sources.items():
        assert (labels[label].eq(1) == rows[findings].max(axis=1).eq(1)).all(), label
    assert (labels["No Finding"].eq(1) == rows.max(axis=1).eq(0)).all()


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", ["pleural_effusion", "pneumonic_infiltrate", "atelectasis"])
def test_a_finding_lies_on_its_side(kind: str, side: str) -> None:
    for seed in range(4):
        change = np.abs(draw({f"{kind}_{side}": 4}, seed=seed) - draw({}, seed=seed))
        third = change.shape[1] // 3
        at_picture_left, at_picture_right = change[:, :third].sum(), change[:, -third:].sum()
        there, elsewhere = (
            (at_picture_left, at_picture_right) if side == "right" else (at_picture_right, at_picture_left)
        )
        assert there > 2.5 * elsewhere


@pytest.mark.parametrize("side", ["right", "left"])
def test_an_effusion_is_basal(side: str) -> None:
    change = np.abs(draw({f"pleural_effusion_{side}": 3}) - draw({}))
    assert change[change.shape[0] // 2 :].sum() > 3 * change[: change.shape[0] // 2].sum()


def test_a_heart_grows_with_its_grade() -> None:
    body, pose = a_body(), anatomy.draw_pose(np.random.default_rng(0), bedside=False)
    widths = []
    for grade in range(5):
        ratio = disease.heart_ratio(grade, body=body, pose=pose, difficulty=1, rng=np.random.default_rng(1))
        outline = anatomy.heart(body, pose, ratio)
        widths.append(float(np.ptp(outline[:, 0])) / 2)
        assert widths[-1] == pytest.approx(ratio, rel=0.03)
    assert widths == sorted(widths)
    assert widths[0] < 0.5 < widths[2] < widths[4]


@pytest.mark.parametrize("finding", FINDINGS)
def test_difficulty_makes_a_finding_fainter(finding: str) -> None:
    effects = [effect(finding, 3, difficulty=difficulty) for difficulty in (1.0, 1.5, 3.0)]
    assert effects[0] > effects[1] > effects[2] > 0


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_grows_with_its_grade(finding: str) -> None:
    effects = [effect(finding, grade) for grade in (2, 3, 4)]
    assert 0 < effects[0] < effects[1] < effects[2]


def test_pictures_fill_their_range_at_any_size() -> None:
    for size in (64, 200, 700):
        picture = draw({}, size=size, bedside=True)
        assert picture.dtype == np.float32
        assert max(picture.shape) == size
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert picture.std() > 0.1


def test_an_easy_finding_still_fits_into_the_chest() -> None:
    everything = dict.fromkeys(FINDINGS, 4)
    picture = draw(everything, difficulty=0.05)
    assert np.isfinite(picture).all()
    assert picture.std() > 0.05


def test_patients_have_the_papers_shares() -> None:
    count = 4000
    drawn = [patient for patient, _ in patients.each(a_phantom(patients=count, images_per_patient=(1, 1)), seed=5)]
    for shares, values in (
        (patients.SEXES, [patient.sex for patient in drawn]),
        (patients.AGE_BANDS, [patients.band_of(patient.age) for patient in drawn]),
    ):
        for name, share in shares.items():
            expected = share / sum(shares.values())
            spread = np.sqrt(expected * (1 - expected) / count)
            assert abs(values.count(name) / count - expected) < 4 * spread


@pytest.mark.parametrize(
    "prevalence",
    [{}, dict.fromkeys(FINDINGS, 0.3), dict.fromkeys(FINDINGS, 0.9), {"congestion": 0.0, "cardiomegaly": 1.0}],
)
def test_findings_have_their_prevalence(prevalence: dict[str, float]) -> None:
    count = 4000
    settings = a_phantom(patients=count, images_per_patient=(1, 1), prevalence=prevalence)
    drawn = [patients.positives(patient.radiographs[0].grades) for patient, _ in patients.each(settings, seed=6)]
    for finding in FINDINGS:
        expected = (patients.PREVALENCE["private"] | prevalence)[finding]
        spread = np.sqrt(expected * (1 - expected) / count)
        assert abs(np.mean([row[finding] for row in drawn]) - expected) <= 4 * spread


def test_findings_come_together_and_stay_with_a_patient() -> None:
    settings = a_phantom(patients=1500, images_per_patient=(2, 2), prevalence=dict.fromkeys(FINDINGS, 0.3))
    drawn = [patient.radiographs for patient, _ in patients.each(settings, seed=6)]
    grades = np.array([[image.grades for image in radiographs] for radiographs in drawn])
    ill = (grades >= patients.FIRST_POSITIVE).astype(float)
    at = {name: number for number, name in enumerate(FINDINGS)}
    for other in ("cardiomegaly", "pleural_effusion_right", "pleural_effusion_left"):
        assert np.corrcoef(ill[:, 0, at["congestion"]], ill[:, 0, at[other]])[0, 1] > 0.05
    for finding in range(8):
        assert np.corrcoef(ill[:, 0, finding], ill[:, 1, finding])[0, 1] > 0.3
    assert (ill[:, 0] != ill[:, 1]).any()


def test_a_reader_errs_by_one_grade_as_often_as_stated() -> None:
    settings = a_phantom(patients=2000, images_per_patient=(1, 1), reader_noise=0.2)
    images = [patient.radiographs[0] for patient, _ in patients.each(settings, seed=6)]
    error = np.array([np.subtract(image.written, image.grades) for image in images])
    assert set(np.unique(error)) == {-1, 0, 1}
    assert abs((error != 0).mean() - 0.2) < 0.02
    assert all(0 <= grade <= 4 for image in images for grade in image.written)


def test_difficulty_is_the_product_of_sex_and_age() -> None:
    factors = {"F": 0.5, "[70,80)": 3.0}
    assert patients.difficulty(factors, sex="F", age=79) == 1.5
    assert patients.difficulty(factors, sex="M", age=80) == 1.0
    assert patients.band_of(100) == "[80,100)"


def test_a_contact_sheet_holds_every_picture() -> None:
    pictures = [draw({}, seed=seed, size=64) for seed in range(7)]
    sheet = cv2.imdecode(np.frombuffer(chest.sheet(pictures, columns=3, cell=64), np.uint8), cv2.IMREAD_UNCHANGED)
    assert sheet is not None
    assert sheet.shape == (192, 192)
    assert sheet[128:, :64].std() > 10
    assert not sheet[128:, 64:].any()
