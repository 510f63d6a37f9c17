"""What privrad stands on: a bill of materials true to the locks, advisories that are found, files as installed."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tools import integrity, sbom, vulnerabilities
from tools.torch_build import hashes, packages

ROOT = Path(__file__).parents[1]
LOCKS = {name: (ROOT / name).read_text(encoding="utf-8") for name in sbom.LOCKS}
SCOPES = {"required", "optional", "excluded"}


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bill")
    for name in ("one.json", "other.json"):
        sbom.main(str(folder / name))
    assert (folder / "one.json").read_bytes() == (folder / "other.json").read_bytes()
    read: dict[str, Any] = json.loads((folder / "one.json").read_text(encoding="utf-8"))
    return read


def test_the_bill_names_what_the_locks_name(bill: dict[str, Any]) -> None:
    entries = {requirement: entry for lock in LOCKS.values() for requirement, entry in packages(lock).items()}
    parts = {f"{part['name']}=={part['version']}": part for part in bill["components"]}
    assert parts.keys() == entries.keys()
    for requirement, part in parts.items():
        assert {each["content"] for each in part["hashes"]} == hashes(entries[requirement])
        assert part["purl"] == f"pkg:pypi/{requirement.replace('==', '@')}"


def test_the_bill_states_the_licences_of_what_is_installed(bill: dict[str, Any]) -> None:
    parts = {part["name"]: part for part in bill["components"]}
    assert parts["torch"]["licenses"]
    for name in ("numpy", "pydicom", "snakemake", "dvc"):
        said = metadata.metadata(name)
        words = json.dumps(parts[name]["licenses"])
        stated = [*(said.get_all("License-Expression") or []), *(said.get_all("License") or [])]
        stated += [each.split(" :: ")[-1] for each in said.get_all("Classifier") or [] if each.startswith("License")]
        assert any(each in words for each in stated)
    assert sum("licenses" in part for part in parts.values()) > 150


def test_the_bill_has_the_form_of_cyclonedx(bill: dict[str, Any]) -> None:
    """What the schema of CycloneDX 1.6 requires of the keys that it uses, and no key that it does not know."""
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert bill.keys() == {"bomFormat", "specVersion", "version", "metadata", "components"}
    parts = [bill["metadata"]["component"], *bill["components"]]
    refs = [part["bom-ref"] for part in parts]
    assert len(set(refs)) == len(refs)
    for part in parts:
        assert part.keys() <= {"type", "bom-ref", "name", "version", "purl", "scope", "hashes", "licenses"}
        assert part["type"] in ("application", "library")
        assert part.get("scope", "required") in SCOPES
        assert all(re.fullmatch("[0-9a-f]{64}", each["content"]) for each in part.get("hashes", ()))
        assert all(each["alg"] == "SHA-256" for each in part.get("hashes", ()))
        kinds = [tuple(each) for each in part.get("licenses", ())]
        assert kinds in ([], [("expression",)]) or set(kinds) == {("license",)}
        assert all(each["license"].keys() == {"name"} for each in part.get("licenses", ()) if "license" in each)


def affected(*events: dict[str, str], versions: tuple[str, ...] = (), name: str = "some-package") -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    return {"package": {"ecosystem": "PyPI", "name": name}, "ranges": ranges, "versions": list(versions)}


@pytest.mark.parametrize(
    ("version", "events", "wanted"),
    [
        ("1.0", [{"introduced": "0"}], True),
        ("1.0", [{"introduced": "0"}, {"fixed": "1.0"}], False),
        ("0.9.9", [{"introduced": "0"}, {"fixed": "1.0"}], True),
        ("1.0rc1", [{"introduced": "0"}, {"fixed": "1.0"}], True),
        ("1.0.0", [{"introduced": "1.0"}, {"fixed": "2"}], True),
        ("0.9", [{"introduced": "1.0"}, {"fixed": "2"}], False),
        ("2.0", [{"introduced": "1.0"}, {"last_affected": "2.0"}], True),
        ("2.0.1", [{"introduced": "1.0"}, {"last_affected": "2.0"}], False),
        ("1.10", [{"introduced": "1.9"}, {"fixed": "1.11"}], True),
        ("3.5", [{"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}, {"fixed": "4"}], True),
        ("2.5", [{"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}, {"fixed": "4"}], False),
        ("3.5", [{"fixed": "4"}, {"introduced": "3"}, {"fixed": "2"}, {"introduced": "1"}], True),
        ("5.0", [{"introduced": "0"}, {"limit": "4"}], False),
        ("1.0", [{"introduced": "what-was-it"}, {"fixed": "who-knows"}], True),
    ],
)
def test_a_range_begins_and_ends_where_it_says(version: str, events: list[dict[str, str]], wanted: bool) -> None:
    assert vulnerabilities.is_affected(version, affected(*events)) == wanted


def test_a_version_is_affected_by_being_listed() -> None:
    assert vulnerabilities.is_affected("1.0", affected(versions=("0.9", "1.0.0")))
    assert not vulnerabilities.is_affected("1.1", affected(versions=("0.9", "1.0.0")))


def test_the_next_mended_version_is_named() -> None:
    events = ({"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2"}, {"fixed": "2.10"}, {"fixed": "2.9"})
    assert vulnerabilities.fixed("2.1", affected(*events)) == "2.9"
    assert vulnerabilities.fixed("3", affected(*events)) == ""


def test_only_what_is_locked_and_not_withdrawn_is_told() -> None:
    told = affected({"introduced": "0"}, {"fixed": "2"}, name="Some_Package")
    advisories: list[dict[str, Any]] = [
        {"id": "A-1", "aliases": ["CVE-1"], "summary": "It\nbreaks", "affected": [told]},
        {"id": "A-2", "withdrawn": "2026-01-01T00:00:00Z", "affected": [told]},
        {"id": "A-3", "affected": [told | {"package": {"ecosystem": "npm", "name": "some-package"}}]},
        {"id": "A-4", "affected": [affected({"introduced": "0"}, name="another")]},
        {"id": "A-5"},
    ]
    (found,) = vulnerabilities.findings({"some-package": "1.5"}, advisories)
    assert str(found) == "some-package 1.5: A-1, CVE-1; fixed in 2; It breaks"


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_the_command_says_which_locked_package_is_affected(
    zipped: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = vulnerabilities.locked()["torch"]
    place = tmp_path / "advisories"
    place.mkdir()
    assert vulnerabilities.main(["--advisories", str(place)]) == 2

    def given(events: list[dict[str, str]]) -> str:
        advisory = {"id": "PYSEC-0", "affected": [affected(*events, name="torch")]}
        (place / "one.json").write_text(json.dumps(advisory), encoding="utf-8")
        if not zipped:
            return str(place)
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            archive.write(place / "one.json", "one.json")
        return str(tmp_path / "all.zip")

    assert vulnerabilities.main(["--advisories", given([{"introduced": "0"}])]) == 1
    assert f"torch {version}: PYSEC-0" in capsys.readouterr().out
    assert vulnerabilities.main(["--advisories", given([{"introduced": "0"}, {"fixed": version}])]) == 0
    assert "none of" in capsys.readouterr().out


NPM = {"id": "A", "affected": [{"package": {"ecosystem": "npm", "name": "torch"}, "versions": ["1"]}]}
NO_ADVISORY = {
    "broken": "[",
    "a list": "[]",
    "versions that are none": '{"affected": [{"package": {"ecosystem": "PyPI", "name": "torch"}, "versions": 3}]}',
    "deep": "[" * 100_000,
    "of nothing": "{}",
    "of another ecosystem": json.dumps(NPM),
    "of no package": '{"affected": [{"package": {"ecosystem": "PyPI"}}, {}]}',
}


@pytest.mark.parametrize("content", NO_ADVISORY.values(), ids=NO_ADVISORY.keys())
def test_what_is_no_advisory_ends_in_a_line(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.json").write_text(content, encoding="utf-8")
    assert vulnerabilities.main(["--advisories", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_encrypted_zip_ends_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("one.json", "{}")
    content = bytearray((tmp_path / "all.zip").read_bytes())
    for head, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(head) + flags] |= 1
    (tmp_path / "all.zip").write_bytes(content)
    assert vulnerabilities.main(["--advisories", str(tmp_path / "all.zip")]) == 2
    said = capsys.readouterr().err
    assert ("encrypted" in said, said.count("\n")) == (True, 1)


@pytest.fixture
def copy(tmp_path: Path) -> metadata.Distribution:
    """A copy of a small installed package."""
    for file in metadata.distribution("packaging").files or ():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(file.locate()), tmp_path / file)
    (copy,) = metadata.distributions(path=[str(tmp_path)])
    return copy


def test_a_changed_or_missing_file_of_a_package_is_named(copy: metadata.Distribution, tmp_path: Path) -> None:
    """Whole, then with a byte more in one file and without another."""
    assert list(integrity.faults(copy)) == []
    with (tmp_path / "packaging/__init__.py").open("ab") as stream:
        stream.write(b"\n")
    (tmp_path / "packaging/version.py").unlink()
    named = f"packaging {copy.version}: packaging/"
    wanted = [f"{named}__init__.py was changed; install it again", f"{named}version.py is missing; install it again"]
    assert sorted(integrity.faults(copy)) == wanted
    next(tmp_path.glob("*.dist-info/RECORD")).unlink()
    assert list(integrity.faults(copy)) == [f"packaging {copy.version}: RECORD is missing; install it again"]


def test_a_file_without_a_hash_is_named(copy: metadata.Distribution, tmp_path: Path) -> None:
    (record,) = tmp_path.glob("*.dist-info/RECORD")
    text = record.read_text(encoding="utf-8")
    record.write_text(re.sub(r"(packaging/version\.py),sha256=[^,]*,", r"\1,,", text), encoding="utf-8")
    wanted = [f"packaging {copy.version}: packaging/version.py has no hash in RECORD; install it again"]
    assert list(integrity.faults(copy)) == wanted


def test_a_file_that_no_package_brought_is_named(copy: metadata.Distribution, tmp_path: Path) -> None:
    """Files that Python runs by themselves, and what is compiled from no source; not what it compiles of a package."""
    assert integrity.strangers(tmp_path) == []
    beside = tmp_path / "packaging/__pycache__"
    beside.mkdir(exist_ok=True)
    (beside / "version.cpython-399.opt-1.pyc").touch()
    assert integrity.strangers(tmp_path) == []
    strange = ("a.pth", "packaging/__pycache__/b.cpython-311.pyc", "packaging/c.pyc", "sitecustomize.py", "z/d.so")
    (tmp_path / "z").mkdir()
    for name in strange:
        (tmp_path / name).touch()
    assert [line.partition(":")[0] for line in integrity.strangers(tmp_path)] == list(strange)


def test_what_a_lock_names_for_another_computer_is_not_due() -> None:
    markers = {"a-b": "", "c": "; sys_platform == 'none'", "d": "; python_version > '3'"}
    lock = "".join(f"{name}==1 {marker} \\\n    --hash=sha256:0\n" for name, marker in markers.items())
    assert integrity.due([lock]) == {"a-b", "d"}
    assert integrity.due(LOCKS.values()) > {"torch", "numpy"}


def test_a_package_missing_beside_the_lock_or_of_another_version_is_named() -> None:
    wanted = {"torch": "2.13.0", "numpy": "2.4.0", "colorama": "0.4.6"}
    installed = {"torch": "2.13.0+cpu", "numpy": "2.4.1", "privrad": "0.1.0", "stranger": "1"}
    told = ["numpy 2.4.1 is not the locked 2.4.0", "stranger 1 is not in the lock"]
    assert integrity.versions(installed, wanted, ["torch"]) == told
    told.insert(0, "colorama 0.4.6 is in the lock and not installed")
    assert integrity.versions(installed, wanted, wanted) == told
