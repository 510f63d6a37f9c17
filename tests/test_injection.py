"""Hundreds of hostile texts in tables, studies, names, images and predictions: refused in a line, or harmless.

What Chromium makes of them is in tests/system/test_injection.py.
"""

from __future__ import annotations

import ast
import csv
import json
import pickle
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest
import torch

from privrad import cli, config, files
from privrad.cohorts import manifest as manifests
from privrad.evaluation.predictions import load
from privrad.imaging import shards
from privrad.privacy.ledger import Ledger
from privrad.report import spreadsheet
from privrad.study_file import UNSEEN, ConfigError
from privrad.training import checkpoint
from privrad.training.state import State
from tests.imaging.made import dataset
from tests.system.payloads import PAYLOADS, SHEET, YAML

ROOT = Path(__file__).parents[1]
COLUMNS = ("image", "patient_id", "study_id", "age", "sex", "view", "bedside", "split", "heart")
ROW = ("a.png", "p", "s", "50", "F", "PA", "no", "train", "normal")
ONE_LINE = [each for each in PAYLOADS if not re.search(r"[\r\n]", each)]
START = re.compile(r'[\s"]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r]')
UNPRINTED = [char for char in map(chr, range(sys.maxunicode)) if unicodedata.category(char) in ("Cc", "Cf")]
DROPPED = dict.fromkeys(ord(char) for char in UNPRINTED if char not in "\t\r")
NUMBER = re.compile(r"-?(?:\d+\.?\d*(?:e[+-]?\d+)?|inf)")
RUNNING = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "np.load", "numpy.load"),
    *("pd.read_pickle", "pandas.read_pickle", "joblib.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"),
}
TELLING = ("Loader", "shell", "allow_pickle")
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}


def formulas(path: Path) -> list[str]:
    """The cells of a CSV file that a spreadsheet would take for a formula, with commas or semicolons between cells.

    Characters that are not printed count for nothing, as some programs drop them.
    """
    lines = path.read_bytes().decode("utf-8").splitlines(keepends=True)
    cells = {cell for mark in ",;" for row in csv.reader(lines, delimiter=mark) for cell in row}
    return [cell for cell in cells if START.match(cell.translate(DROPPED)) and not NUMBER.fullmatch(cell)]


def one_cohort(root: Path, *, labels: Mapping[str, str] = {"heart": "heart"}, **cohort: object) -> dict[str, Any]:
    """A study of one public cohort of radiographs in `root`; `cohort` is set last and overrides."""
    given = {"id": "ours", "layout": "uka_cxr", "sensitivity": "public", "root": str(root), "labels": dict(labels)}
    experiment: dict[str, Any] = {"findings": list(labels), "cohorts": {"private": given | cohort}}
    experiment |= {"image": {"size": 32, "shards": 1}, "pretraining": "none", "budgets": [2]}
    experiment["privacy"] = {"population": 30, "expected_batch": 10, "steps": 3, "delta": 1e-3, "noise": "reproducible"}
    experiment |= {"training": {"positive_weights": "none"}, "evaluation": {"redraws": 20}}
    return {"study": "ours", "seed": 1, "experiments": {"chest": experiment}}


@dataclass(frozen=True)
class House:
    """A folder with one cohort, and what privrad says of it."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def told(self, *arguments: object) -> tuple[int, str]:
        """The exit code of a command, and what it said."""
        self.capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        return code, self.capsys.readouterr().err

    def study(self, **given: Any) -> None:
        (self.folder / "study.yaml").write_text(json.dumps(one_cohort(self.root, **given)), encoding="utf-8")

    def table(self, rows: Sequence[Sequence[str]], columns: Sequence[str] = COLUMNS) -> None:
        self.root.mkdir(exist_ok=True)
        with (self.root / "uka_cxr.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([columns, *rows])

    def rule(self, name: str, *more: object) -> tuple[int, str]:
        which = ("--study", self.folder / "study.yaml", "--experiment", "chest", "--role", "private")
        return self.told(name, *which, *("--root", self.root) * (name != "split"), *more)

    def ingest(self) -> tuple[int, str]:
        out = self.folder / "out"
        tables = ("--refused", out / "refused.csv", "--rejects", out / "rejects.csv")
        return self.rule("ingest", "--manifest", out / "manifest.parquet", *tables)

    def evaluate(self) -> tuple[int, str]:
        self.study()
        which = ("--study", self.folder / "study.yaml", "--experiment", "chest")
        given = ("--predictions", self.folder / "p.parquet", "--out", self.folder / "out", "--threads", 1)
        return self.told("evaluate", *which, *given)

    def prepare(self) -> pd.DataFrame:
        """Take the cohort to its shard; what was refused on the way."""
        out = self.folder / "out"
        assert self.ingest()[0] == 0
        assert self.rule("locate", "--manifest", out / "manifest.parquet", "--out", out / "paths.parquet")[0] == 0
        given = ("--shard", 0, "--manifest", out / "manifest.parquet", "--paths", out / "paths.parquet")
        made = ("--out", out / "shard.safetensors", "--rejects", out / "prepare.csv", "--text", out / "text.csv")
        code, said = self.rule("prepare", *given, *made)
        assert code == 0, said
        return pd.read_csv(out / "prepare.csv", keep_default_na=False)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> House:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PRIVRAD_KEYS", str(tmp_path / "keys"))
    return House(tmp_path / "here", capsys)


@pytest.fixture(autouse=True)
def _nothing_ran(tmp_path: Path) -> Any:
    yield
    assert not list(tmp_path.rglob("pwned*"))


def test_there_are_hundreds() -> None:
    assert len(PAYLOADS) == len(set(PAYLOADS)) > 300


@pytest.mark.parametrize("value", [-0.5, 3, 0.0, True, None, "normal", "a-b", "5 = five", "PA", ""])
def test_what_is_no_formula_stays_as_it_is(value: object) -> None:
    assert files.cell(value) == value


@pytest.mark.parametrize("text", SHEET)
def test_no_cell_begins_a_formula(text: str, tmp_path: Path) -> None:
    spreadsheet.write(pd.DataFrame({text: [text], "n": [-0.5]}), tmp_path / "table.csv")
    assert formulas(tmp_path / "table.csv") == []
    assert (tmp_path / "table.csv").read_text(encoding="utf-8").endswith(",-0.5\n")
    assert files.cell(files.cell(text)) == files.cell(text)


def test_no_unseen_character_hides_a_formula(tmp_path: Path) -> None:
    texts = [f"{before}{char}=1+1" for char in UNPRINTED for before in ("", 'x\t"')]
    texts += [f"x;{chr(code)}{chr(code)}@SUM(1)" for code in DROPPED]
    assert len(texts) > 600
    spreadsheet.write(pd.DataFrame({"text": texts}), tmp_path / "table.csv")
    assert formulas(tmp_path / "table.csv") == []


def refused(text: str | bytes, folder: Path) -> str | None:
    """Why a study file is refused, or None where it is taken; each fault is a line of no unseen character."""
    path = folder / "study.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        config.load(path)
    except ConfigError as error:
        why = str(error)
    else:
        return None
    first, *faults = why.split("\n")
    assert first.startswith(f"study file {path}")
    assert all(fault.startswith("  ") for fault in faults)
    assert not UNSEEN.search("".join((first, *faults)))
    assert len(why) < 5000
    return why


@pytest.mark.parametrize("part", range(4))
def test_a_study_takes_no_name_that_does_more_than_name(part: int, tmp_path: Path) -> None:
    for payload in PAYLOADS[part::4]:
        study = one_cohort(tmp_path, labels={payload: "heart"}, id=payload)
        experiments = {payload: study["experiments"]["chest"] | {payload: 1}}
        why = refused(json.dumps(study | {"study": payload, "experiments": experiments}), tmp_path)
        assert why is not None, payload
        named = re.fullmatch(r"[a-z][a-z0-9_]*", payload) is not None
        no_key = UNSEEN.search(payload) or len(payload) > 1000
        assert named or no_key or why.count("pattern") >= 3, payload


def test_a_study_as_yaml_runs_nothing(tmp_path: Path) -> None:
    whole = json.dumps(one_cohort(tmp_path))
    for payload in (*YAML, *PAYLOADS[::7]):
        assert refused(payload, tmp_path), payload
        assert refused(f"study: {payload}\n{whole}", tmp_path), payload
        refused(f"{whole}\n{payload}", tmp_path)


NESTED = "".join(f"l{place}: &l{place} [{', '.join([f'*l{place - 1}'] * 9)}]\n" for place in range(1, 12))
LAUGHS = {
    "lists": f"l0: &l0 [lol]\n{NESTED}",
    "under a known key": f"l0: &l0 [lol]\n{NESTED}experiments: *l11\n",
    "keys": "a0: &a0 {k: v}\n"
    + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)),
    "one that holds itself": "study: &a [*a]\n",
    "deep": "[" * 500,
    "deep and closed": "[" * 500 + "]" * 500,
    "long": "study: " + "a" * 300_000,
    "a number of many digits": f"seed: {'9' * 5000}",
    "a key that is a list": "? [a, b]\n: c\n",
    "a date that is none": "seed: 2026-13-45\n",
    "a time that is none": "study: !!timestamp x\n",
    "a truth that is none": "study: !!bool maybe\n",
    "a whole number that is none": "seed: !!int ''\n",
    "a number that is none": "seed: !!float ''\n",
    "keys that are none": "study: !!map [a]\n",
    "a number of many digits to 16": f"seed: 0x{'f' * 5000}\n",
    "a number of many digits to 2": f"seed: 0b{'1' * 20_000}\n",
    "a number of many digits to 60": f"seed: {':'.join(['59'] * 3000)}\n",
    "a template of Snakemake's": "__use_yte__: true\n__definitions__:\n- open('pwned', 'w')\nstudy: ours\n",
    "bytes": b"\x80\x04\x95",
    "nothing": "",
}


@pytest.mark.parametrize("text", LAUGHS.values(), ids=LAUGHS.keys())
def test_a_study_that_grows_or_breaks_off_is_refused(text: str | bytes, tmp_path: Path) -> None:
    assert refused(text, tmp_path)


def test_the_columns_that_a_study_names_are_columns(house: House) -> None:
    """All texts at once as the study's names of columns, and as the table's."""
    seen = [each for each in ONE_LINE if not UNSEEN.search(each) and each.strip() == each != "none"]
    (house.folder / "root").mkdir()
    (house.root / "a.png").touch()
    for some in (seen[place : place + 90] for place in range(0, len(seen), 90)):
        labels = {f"f{place}": column for place, column in enumerate(some)}
        house.study(labels=labels)
        house.table([[*ROW[:-1], *["normal"] * len(some)]], [*COLUMNS[:-1], *some])
        assert house.ingest()[0] == 0
        assert set(labels) < set(pd.read_parquet(house.folder / "out/manifest.parquet"))


def test_the_head_of_a_table_steers_no_terminal(house: House) -> None:
    house.study()
    house.table([ROW[:-1]], COLUMNS[:-1])
    for head in [text for text in PAYLOADS if UNSEEN.search(text)]:
        house.table([ROW], [*COLUMNS[:-1], head])
        code, said = house.ingest()
        first, *further = said.removesuffix("\n").split("\n")
        assert (code, first[:15]) == (2, "privrad ingest:")
        assert all(line.startswith("  ") for line in further)
        assert not UNSEEN.search("".join((first, *further)))


@pytest.mark.parametrize("column", COLUMNS)
def test_a_cell_of_a_table_is_a_value_or_is_refused(house: House, column: str) -> None:
    place = COLUMNS.index(column)
    rows = [ROW, *((f"{order}.png", *ROW[1:]) for order in range(len(ONE_LINE)))]
    house.study()
    house.table([ROW, *([*row[:place], text, *row[place + 1 :]] for row, text in zip(rows[1:], ONE_LINE, strict=True))])
    for row in rows:
        (house.root / row[0]).touch()
    code, said = house.ingest()
    assert (code, UNSEEN.sub("", said.replace("\n", ""))) == (0, said.replace("\n", ""))
    out = house.folder / "out"
    assert formulas(out / "rejects.csv") == formulas(out / "refused.csv") == []
    manifest = pd.read_parquet(out / "manifest.parquet")
    assert set(manifest["view"]) <= {"PA", "AP", ""}
    taken = {text for text in manifest.to_numpy().ravel() if isinstance(text, str)}
    assert not taken & {text for text in PAYLOADS if not re.fullmatch(r"[\w-]*", text)}
    assert {path.name for path in house.folder.iterdir()} == {"out", "root", "study.yaml"}


def test_a_cell_with_a_broken_line_is_refused(house: House) -> None:
    house.study()
    (house.root).mkdir()
    (house.root / "a.png").touch()
    for text in PAYLOADS:
        if re.search(r"[\r\n]", text.strip()):
            house.table([(ROW[0], text, *ROW[2:])])
            code, said = house.ingest()
            assert (code, said.count("\n")) == (2, 1), text


def test_a_file_may_have_any_name(house: House) -> None:
    """What the disk takes for a name: every second image is blank, and so is refused by name."""
    house.study()
    names = [
        text for text in ONE_LINE if not set(text) & set("/\0") and len(text.encode()) < 256 and text.strip() == text
    ]
    names = [name for name in names if name not in (".", "..")]
    house.table([(name, f"p{place}", *ROW[2:]) for place, name in enumerate(names)])
    drawn = np.arange(1600, dtype=np.uint16).astype(np.uint8).reshape(40, 40)
    for place, name in enumerate(names):
        (house.root / name).write_bytes(cv2.imencode(".png", drawn * (place % 2))[1].tobytes())
    rejects = house.prepare()
    assert set(rejects["reason"]) == {"constant_image"}
    assert len(rejects) == (len(names) + 1) // 2
    assert formulas(house.folder / "out/prepare.csv") == []


FREE = (
    "PatientName",
    "PatientID",
    "PatientComments",
    "StudyDescription",
    "SeriesDescription",
    "InstitutionName",
    "StudyID",
)
CODED = (
    *(
        "Modality",
        "PhotometricInterpretation",
        "PresentationLUTShape",
        "ImageType",
        "BurnedInAnnotation",
        "SOPClassUID",
    ),
    *("ConversionType", "WindowCenter", "RescaleSlope", "RescaleIntercept", "VOILUTFunction"),
)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of values that no standard knows
def test_no_element_of_a_dicom_file_is_repeated(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydicom.config.settings, "_writing_validation_mode", pydicom.config.IGNORE)
    house.study()
    house.root.mkdir()
    rows = []
    texts = [text for text in PAYLOADS if "\0" not in text]
    for place, text in enumerate(texts):
        image = dataset((np.arange(256, dtype=np.uint16) * 13 % 251).reshape(16, 16))
        image.SpecificCharacterSet = "ISO_IR 192"
        for tag in FREE if place % 2 else [CODED[place // 2 % len(CODED)]]:
            image[tag] = pydicom.DataElement(tag, "LO", text)
        name = f"{'free' if place % 2 else 'coded'}{place}.dcm"
        image.save_as(house.root / name, enforce_file_format=True)
        rows.append((name, f"p{place}", *ROW[2:]))
    house.table(rows)
    rejects = house.prepare()
    assert all(name.startswith("coded") for name in rejects["file"])
    told = " ".join(rejects["remedy"].unique())
    assert not [text for text in texts if len(text) > 6 and text in told]
    assert formulas(house.folder / "out/prepare.csv") == []


def predictions(texts: Sequence[str], **columns: object) -> pd.DataFrame:
    """Six images of each text, under ids made of it."""
    rng = np.random.default_rng(0)
    ids = [f"{text}{place}" for text in texts for place in range(6)]
    scores, labels = rng.random(len(ids)), np.arange(len(ids)) % 2
    return pd.DataFrame(
        {"image_id": ids, "patient_id": ids, "finding": "heart", "label": labels, "score": scores, **columns}
    )


def evaluated(house: House, table: pd.DataFrame) -> None:
    """Measure predictions; each table must be one that a spreadsheet opens without running anything."""
    table.to_parquet(house.folder / "p.parquet", index=False)
    code, said = house.evaluate()
    assert code == 0, said
    tables = sorted((house.folder / "out").glob("*.csv"))
    assert len(tables) == 12
    assert [cell for path in tables for cell in formulas(path)] == []
    assert {path.name for path in house.folder.iterdir()} == {"out", "p.parquet", "study.yaml"}


def test_groups_and_ids_of_anybodys_predictions_are_values(house: House) -> None:
    texts = [text for text in PAYLOADS if text.strip()]
    for first in range(0, len(texts), 50):
        some = texts[first : first + 50]
        column = next(text for text in some if text.isprintable() and " & " not in text)
        evaluated(house, predictions(some, **{column: np.repeat(some, 6)}))


@pytest.mark.parametrize("column", ["finding", "arm"])
def test_findings_and_arms_of_anybodys_predictions_are_names(house: House, column: str) -> None:
    texts = SHEET[::2] if column == "arm" else SHEET[1::2]
    evaluated(house, predictions(texts, **{column: np.repeat(texts, 6)}))


class Evil:
    """An object that makes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("pwned", "w")


def evil(folder: Path) -> list[Path]:
    """Files that hold it, as pickle, as torch and as numpy write it."""
    boxed = np.empty(1, dtype=object)
    boxed[0] = Evil()
    folder.mkdir()
    torch.save(Evil(), folder / "torch.png")
    with (folder / "numpy.dcm").open("wb") as stream:
        np.save(stream, boxed, allow_pickle=True)
    (folder / "plain.jpg").write_bytes(pickle.dumps(Evil()))
    return sorted(folder.iterdir())


def _weights(path: Path) -> object:
    shape: dict[str, Any] = {
        "network": "resnet9",
        "width": 8,
        "groups": 4,
        "activation": "mish",
        "findings": ("heart",),
    }
    return checkpoint.load(path, architecture=checkpoint.Architecture(**shape))


def _state(path: Path) -> object:
    unused: Any = None
    return State(path=path).restore(torch.nn.Identity(), unused)


LOADERS: dict[str, Callable[[Path], object]] = {
    "weights": _weights,
    "checkpoint": _state,
    "shard": lambda path: shards.open_shards([path]),
    "manifest": lambda path: manifests.read(path, findings=["heart"]),
    "predictions": lambda path: load([path]),
    "study": config.load,
    "ledger": lambda path: Ledger(path).verify(),
}


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS.keys())
def test_no_loader_unpickles(loader: Callable[[Path], object], house: House) -> None:
    for path in evil(house.root):
        with pytest.raises(ValueError, match=r"\w"):
            loader(path)


def test_no_image_is_unpickled(house: House) -> None:
    names = [path.name for path in evil(house.root)]
    drawn = np.arange(1600, dtype=np.uint16).astype(np.uint8).reshape(40, 40)
    cv2.imwrite(str(house.root / "a.png"), drawn)
    house.study()
    house.table([(name, f"p{name}", *ROW[2:]) for name in ("a.png", *names)])
    assert sorted(house.prepare()["file"]) == names


def test_a_table_that_names_a_python_type_is_a_table(house: House) -> None:
    told = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(Evil())}
    table = pa.Table.from_pandas(predictions(["a", "b"]), preserve_index=False)
    fields = [field.with_metadata(told) for field in table.schema]
    pq.write_table(table.cast(pa.schema(fields)), house.folder / "p.parquet")
    assert house.evaluate()[0] == 0


def runs_data(source: str) -> list[str]:
    """What a module calls or imports that can run what it reads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [module for module in modules if module.split(".")[0] in MODULES]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            given = {word.arg: ast.unparse(word.value) for word in node.keywords if word.arg in TELLING}
            name = ast.unparse(node.func)
            found += [name] * (name in RUNNING or name.endswith("read_pickle"))
            found += [name] * (name == "yaml.load" and given.get("Loader") not in ("_Loader", "yaml.SafeLoader"))
            found += [name] * ("True" in (given.get("shell"), given.get("allow_pickle")))
    return found


@pytest.mark.parametrize(
    "call", ["pickle.loads(x)", "torch.load(x)", "yaml.load(x)", "f(x, shell=True)", "pd.read_pickle(x)"]
)
def test_a_call_that_can_run_data_would_be_seen(call: str) -> None:
    assert runs_data(f"import pickle\n{call}" if call.startswith("pickle") else call)


def test_no_module_calls_what_can_run_data() -> None:
    sources = [path for folder in ("src", "tools", "bench") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100
    assert {path.name: found for path in sources if (found := runs_data(path.read_text(encoding="utf-8")))} == {}
