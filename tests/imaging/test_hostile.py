"""Whatever bears the name of an image: read, or refused in one line, and nothing of it left."""

from __future__ import annotations

import csv
import gzip
import io
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image, PngImagePlugin

from privrad import cli, config
from privrad.imaging import prepare
from privrad.imaging.opening import open_regular
from privrad.imaging.prepare import locate, prepare_volume, run
from privrad.imaging.read import Unreadable, read_radiograph, read_scan
from tests.imaging.made import Writer
from tests.imaging.made_ct import write_series
from tests.imaging.made_scan import body

PLACES = {
    "folder": ("not_a_file", "no_ct_slices"),
    "pipe": ("not_a_file", "not_a_file"),
    "socket": ("not_a_file", "not_a_file"),
    "zeros": ("not_a_file", "not_a_file"),
    "to pipe": ("not_a_file", "not_a_file"),
    "circle": ("unreadable_file", "unreadable_file"),
    "missing": ("missing_file", "missing_file"),
    "text/below": ("missing_file", "missing_file"),
    "n" * 300: ("unreadable_file", "unreadable_file"),
    "empty": ("unknown_format", "unknown_format"),
    "text": ("unknown_format", "unknown_format"),
    "huge": ("too_large", "unknown_format"),
}
RAS = np.diag([-2.0, -2.5, 4, 1])


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A folder with a name for each of PLACES."""
    folder = tmp_path / "places"
    (folder / "folder").mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    (folder / "zeros").symlink_to("/dev/zero")
    os.mknod(folder / "socket", stat.S_IFSOCK | 0o600)
    (folder / "to pipe").symlink_to("pipe")
    (folder / "circle").symlink_to("circle")
    (folder / "empty").touch()
    (folder / "text").write_text("no picture, however long " * 30)
    with (folder / "huge").open("wb") as stream:
        stream.truncate(2**41)
    return folder


@pytest.mark.parametrize("name", PLACES)
def test_what_is_no_image(places: Path, name: str) -> None:
    radiograph, scan = PLACES[name]
    with pytest.raises(Unreadable, match=rf"^{radiograph}: [^\n]+; [^\n]+$"):
        read_radiograph(places / name)
    with pytest.raises(Unreadable, match=rf"^{scan}: [^\n]+; [^\n]+$"):
        read_scan(places / name)


@pytest.mark.parametrize("command", ["prepare-image", "prepare-volume"])
def test_the_commands_end_with_one_line(
    places: Path, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / ("out.png" if command == "prepare-image" else "out.nii.gz")
    names = ["pipe", "circle", "huge"] if command == "prepare-image" else ["folder", "zeros"]
    for name in names:
        assert cli.main([command, str(places / name), str(out), "--log", str(tmp_path / "log")]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"privrad {command}: {PLACES[name][command == 'prepare-volume']}: {places / name}: ")
        assert said.err.count("\n") == 1
        assert (tmp_path / "log").read_text() == said.err
    assert not out.parent.exists()


def test_a_name_of_any_bytes_is_printed_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / os.fsdecode(b"a\n\xff\x1b[2J\xe2\x80\xae")
    path.write_bytes(b"no picture")
    assert cli.main(["prepare-image", str(path), str(tmp_path / "out.png"), "--log", str(tmp_path / "log")]) == 2
    said = capsys.readouterr().err
    assert said == (tmp_path / "log").read_text()
    assert "/a\\n\\udcff\\x1b[2J\\u202e: it is neither" in said
    assert said.count("\n") == 1


def test_files_of_any_name_are_prepared_and_listed(tmp_path: Path) -> None:
    """Names that no table of text can hold are met in the folders of scans."""
    root = tmp_path / "cohort"
    names = ["good", 'a\n"b",=1+1']
    for name in names:
        paths = write_series(root / name, body())
        paths[3].rename(paths[3].with_name(os.fsdecode(b"\xfe\n.dcm")))
    paths = write_series(root / "damaged", body())
    paths[3].write_bytes(paths[3].read_bytes()[:300])
    paths[3].rename(paths[3].with_name(os.fsdecode(b"\xfe\n.dcm")))
    listed = ["good", names[1], "../cohort", "good/../../secret", "missing\n,", "damaged", "n" * 5000]
    ids = [f"{number:032x}" for number in range(len(listed))]
    pd.DataFrame({"image_id": ids, "patient_id": ids}).to_parquet(tmp_path / "manifest")
    pd.DataFrame({"image_id": ids, "path": listed}).to_parquet(tmp_path / "paths")
    places: dict[str, Any] = {"manifest": tmp_path / "manifest", "paths": tmp_path / "paths", "root": root}
    image = config.Image(size=(24, 20, 12), window=(-150, 250), shards=1)
    run(**places, shard=0, image=image, modality="ct", out=tmp_path / "out", rejects=tmp_path / "rejects.csv")
    with (tmp_path / "rejects.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["file"]: (row["reason"], row["remedy"]) for row in csv.DictReader(stream)}
    assert {name: row[0] for name, row in rows.items()} == {
        "good/../../secret": "outside_root",
        "missing\n,": "missing_file",
        "damaged": "unreadable_file",
        "n" * 5000: "unreadable_file",
        "../cohort": "no_ct_slices",
    }
    assert rows["damaged"][1].startswith("\\udcfe\\n.dcm: ")


def test_rejects_of_any_name_are_written(tmp_path: Path) -> None:
    row = (os.fsdecode(b"a\xff\n"), "missing_file", "restore it")
    prepare._write_private(tmp_path / "rejects.csv", ("file", "reason", "remedy"), [row])
    assert (tmp_path / "rejects.csv").read_text() == 'file,reason,remedy\n"a\\udcff\n",missing_file,restore it\n'


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "link", "link/below", "sub/link"])
def test_a_path_that_leaves_the_root(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)
    (root / "sub/link").symlink_to("../../elsewhere")
    with pytest.raises(Unreadable, match=r"^outside_root: "):
        locate(root, name)


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    handle = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        with pytest.raises(Unreadable, match="not_a_file"):
            open_regular(tmp_path / "pipe")
    finally:
        os.close(handle)


NAMES = {"descrip": b"DOE^JANE", "aux_file": b"MRN-4711", "intent_name": b"19450312", "db_name": b"HOSPITAL"}


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_nothing_of_a_header_leaves_with_the_volume(tmp_path: Path, name: str) -> None:
    image = nibabel.Nifti1Image(body().T, RAS)
    for field, text in NAMES.items():
        image.header[field] = text
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Doe, Jane, in an extension"))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("dicom", b"\x10\0\x10\0PN\x08\0DOE^JANE"))
    nibabel.save(image, tmp_path / "in.nii")
    planted = (tmp_path / "in.nii").read_bytes()
    prepare_volume(tmp_path / "in.nii", tmp_path / name, size=(24, 20, 12), window=(-150, 250))
    written = (tmp_path / name).read_bytes()
    content = gzip.decompress(written) if name.endswith("gz") else written
    for text in (*NAMES.values(), b"Doe, Jane"):
        assert text in planted
        assert text not in content + written
    assert len(content) == 352 + 24 * 20 * 12


def volume(**fields: Any) -> bytes:
    content = bytearray(nibabel.Nifti1Image(body((9, 9, 9)).T, RAS).to_bytes())
    header = nibabel.Nifti1Header(bytes(content[:348]), check=False)
    for key, value in fields.items():
        header[key] = value
    return bytes(header.binaryblock + content[348:])


BOMB = bytes(2**25)
CONTRADICTIONS: dict[str, tuple[bytes, str]] = {
    "more planes than bytes": (volume(dim=[3, 9, 9, 2**14, 1, 1, 1, 1]), "too short for 16384 planes"),
    "larger planes than memory": (volume(dim=[3, 2**14, 2**14, 2**14, 1, 1, 1, 1]), "too short for 16384 planes"),
    "another width of a voxel": (volume(bitpix=8), "its voxels are int16, and have 8 bits"),
    "voxels far behind the header": (volume(vox_offset=2**30), "its voxels begin at byte 1073741824"),
    "voxels before the file": (volume(vox_offset=-(2**20)), "its voxels begin at byte -1048576"),
    "voxels nowhere": (volume(vox_offset=np.nan), "its voxels begin at byte nan"),
    "an unknown type": (volume(datatype=-1), "its data type is -1"),
    "an infinite slope": (volume(scl_slope=np.inf), "its rescale is inf x"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_a_nifti_file_that_contradicts_itself(what: str, packed: bool, tmp_path: Path) -> None:
    content, said = CONTRADICTIONS[what]
    (tmp_path / "scan").write_bytes(gzip.compress(content, 1) if packed else content)
    with pytest.raises(Unreadable, match=rf"^unreadable_file: [^\n]*{said}"):
        read_scan(tmp_path / "scan")


def test_no_more_is_inflated_than_the_header_says(tmp_path: Path) -> None:
    """The bytes behind the voxels are damaged; who inflated them would notice."""
    packed = bytearray(gzip.compress(volume() + BOMB, 1))
    packed[len(packed) // 2 :] = bytes(len(packed) - len(packed) // 2)
    (tmp_path / "scan").write_bytes(packed)
    np.testing.assert_array_equal(np.stack(list(read_scan(tmp_path / "scan").planes())), body((9, 9, 9)))


def test_an_extension_without_end_is_not_looked_at(tmp_path: Path) -> None:
    plain = volume(vox_offset=352 + 64)
    for size in (0, 8, 2**31 - 1, -1):
        extension = b"\1\0\0\0" + struct.pack("<ii", size, 4) + bytes(56)
        (tmp_path / "scan").write_bytes(plain[:348] + extension + plain[352:])
        np.testing.assert_array_equal(np.stack(list(read_scan(tmp_path / "scan").planes())), body((9, 9, 9)))


def png(*chunks: tuple[bytes, bytes], rows: int = 8, columns: int = 8, idat: bytes = b"") -> bytes:
    lines = b"".join(b"\0" + bytes(range(8 * row, 8 * row + 8)) for row in range(8))
    header = (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0))
    parts = (header, *chunks, (b"IDAT", zlib.compress(lines + idat, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )


def jpeg(rows: int, columns: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (16, 16), 7).save(stream, "JPEG")
    content = bytearray(stream.getvalue())
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", rows, columns)
    return bytes(content)


INFLATES = zlib.compress(BOMB, 9)
BOMBS = {
    "text": (png((b"zTXt", b"key\0\0" + INFLATES)), "unreadable_file"),
    "text in Unicode": (png((b"iTXt", b"key\0\1\0\0\0" + INFLATES)), "unreadable_file"),
    "a profile": (png((b"iCCP", b"key\0\0" + INFLATES)), "unreadable_file"),
    "frames": (png((b"acTL", struct.pack(">II", 2**31 - 1, 0))), "several_frames"),
    "a size": (png(rows=2**31 - 1, columns=2**31 - 1), "too_large"),
    "a size within bounds": (png(rows=13_000, columns=13_000), "unreadable_file"),
    "a size of JPEG": (jpeg(65_535, 65_535), "too_large"),
    "no size of JPEG": (jpeg(0, 16), "unreadable_file"),
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_picture_that_inflates(what: str, tmp_path: Path) -> None:
    content, reason = BOMBS[what]
    assert len(content) < 2**20
    (tmp_path / "picture").write_bytes(content)
    with pytest.raises(Unreadable, match=rf"^{reason}: [^\n]+; [^\n]+$"):
        read_radiograph(tmp_path / "picture")


def test_more_pixels_than_the_header_says_are_not_inflated(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(png())
    expected = np.arange(64).reshape(8, 8)
    np.testing.assert_array_equal(read_radiograph(tmp_path / "plain"), expected)
    (tmp_path / "more").write_bytes(png(idat=BOMB))
    np.testing.assert_array_equal(read_radiograph(tmp_path / "more"), expected)


def test_a_picture_says_nothing_of_its_texts(tmp_path: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Patient", "Doe, Jane")
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "picture", "PNG", pnginfo=texts)
    whole = (tmp_path / "picture").read_bytes()
    for cut in range(45, len(whole) - 20, 5):
        (tmp_path / "picture").write_bytes(whole[:cut] + b"Jane" + whole[cut + 4 :])
        with pytest.raises(Unreadable) as caught:
            read_radiograph(tmp_path / "picture")
        assert "Jane" not in caught.value.remedy


@pytest.mark.parametrize("tag", [b"\x28\0\x50\x10DS", b"\x28\0\x53\x10DS"])
def test_a_refusal_says_nothing_of_a_header(tag: bytes, write: Writer) -> None:
    """A window or slope that is no number, but a name, is not repeated."""
    numbers = {"WindowCenter": "30", "WindowWidth": "40", "RescaleSlope": "1", "RescaleIntercept": "0"}
    path = write(np.arange(64, dtype=np.uint16).reshape(8, 8), **numbers)
    before, _, after = path.read_bytes().partition(tag)
    length = 2 + int.from_bytes(after[:2], "little")
    path.write_bytes(before + tag + b"\x08\0Doe^Jane" + after[length:])
    with pytest.raises(Unreadable) as caught:
        read_radiograph(path)
    assert "Doe" not in caught.value.remedy
