"""Where a number of a report stands: cells of CSV files, places in JSON files, and what follows from several files."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from privrad import config
from privrad.privacy import accounting
from privrad.verify import shown
from privrad.verify.read import VerifyError, content

COMPUTED = "computed:"
STUDY = "study"
Row = Mapping[str, str]


class Sources:
    """The files of one study's results, each read once, and the study file where it is known."""

    def __init__(self, results: Path, *, study: config.Study | None) -> None:
        self.results = results
        self.study = study
        self._tables: dict[str, list[dict[str, str]]] = {}
        self._indexed: dict[tuple[str, tuple[str, ...]], dict[tuple[str, ...], list[dict[str, str]]]] = {}
        self._contents: dict[str, Any] = {}

    @cached_property
    def _study(self) -> Any:
        if self.study is None:
            raise VerifyError("the study file is not known; name it with --study")
        return self.study.model_dump()

    def value(self, *, file: str, row: Sequence[tuple[str, str]], column: str, form: str) -> Any:
        """The value of a number; VerifyError where there is none such.

        `column` is a column of the rows that match all of `row` (counts of several are added up), a JSON pointer into
        the file, or begins with `computed:`.
        """
        if not file:
            raise VerifyError("names no file")
        if column.startswith(COMPUTED):
            return self._computed(file, column.removeprefix(COMPUTED))
        if column.startswith("/"):
            return _pointed(self._content(file), column, file=file)
        cells = [shown.cell(found[column], form=form) for found in self.rows(file, row, column)]
        if len(cells) == 1:
            return cells[0]
        if form != "count":
            raise VerifyError(f"{len(cells)} rows of {file} match {_told(row)}")
        return sum(cells)

    def rows(self, file: str, row: Sequence[tuple[str, str]], column: str) -> list[dict[str, str]]:
        """The rows of a CSV file that have some values; VerifyError where there are none."""
        keys = tuple(sorted(key for key, _ in row))
        if len(set(keys)) != len(keys):
            raise VerifyError(f"{_told(row)} names a key twice")
        if (file, keys) not in self._indexed:
            table = self._table(file)
            lacking = [key for key in (*keys, column) if table and key not in table[0]]
            if lacking:
                raise VerifyError(f"{file} has no column {', '.join(lacking)}")
            index: dict[tuple[str, ...], list[dict[str, str]]] = {}
            for each in table:
                index.setdefault(tuple(each[key] for key in keys), []).append(each)
            self._indexed[file, keys] = index
        wanted = dict(row)
        found = self._indexed[file, keys].get(tuple(wanted[key] for key in keys), [])
        if not found:
            raise VerifyError(f"no row of {file} has {_told(row)}")
        if column not in found[0]:
            raise VerifyError(f"{file} has no column {column}")
        return found

    def path(self, file: str) -> Path:
        """The path of a file below the results; VerifyError for one that is not there."""
        path = self.results / file
        if ".." in Path(file).parts or Path(file).is_absolute() or not path.is_file():
            raise VerifyError(f"{file} is not there")
        return path

    def minimum(self, file: str) -> int | None:
        """The least count that is shown of an experiment; None where that is not known."""
        experiment = self._experiment(file)
        return None if experiment is None else experiment.evaluation.minimum_cell

    def hides(self, file: str) -> bool | None:
        """Whether numbers of a file are of a private cohort, so that small ones are hidden; None where not known."""
        experiment = self._experiment(file)
        if experiment is None:
            return None
        of_public = "public" in Path(file).parts[2:3] and experiment.cohorts.public is not None
        cohort = experiment.cohorts.public if of_public else experiment.cohorts.private
        return cohort is not None and cohort.sensitivity == "private"

    def _experiment(self, file: str) -> config.Experiment | None:
        return None if self.study is None else self.study.experiments.get(Path(file).parts[0] if file else "")

    def _table(self, file: str) -> list[dict[str, str]]:
        if file not in self._tables:
            try:
                with self.path(file).open(encoding="utf-8", newline="") as stream:
                    self._tables[file] = list(csv.DictReader(stream))
            except (OSError, UnicodeDecodeError, csv.Error) as error:
                raise VerifyError(f"{file} cannot be read ({error})") from None
        return self._tables[file]

    def _content(self, file: str) -> Any:
        if file == STUDY:
            return self._study
        if file not in self._contents:
            self._contents[file] = content(self.path(file))
        return self._contents[file]

    def _computed(self, file: str, name: str) -> Any:
        """A number that follows from several files of a folder `<experiment>/<step>/<cohort>`."""
        experiment, step, *rest = Path(file).parts
        if name == "composed_epsilon" and step == "finetune":
            return self._composed(experiment)
        if name == "found" and step == "ingest":
            accepted = self.rows(f"{experiment}/split/{rest[0]}/balance.csv", [("column", "all")], "images")
            refused = self._table(f"{file}/refused.csv")
            removed = self._removed(experiment, rest[0])
            return sum(int(row["images"]) for row in accepted) + sum(int(row["count"]) for row in refused) + removed
        if step == "prepare" and (name == "prepared" or name.startswith("refused:")):
            shards = [_header(path) for path in sorted((self.results / file).glob("shard-*.safetensors"))]
            if not shards:
                raise VerifyError(f"{file} holds no shards")
            if name == "prepared":
                return sum(len(images) for images, _ in shards) - self._removed(experiment, rest[0])
            return sum(refused.get(name.removeprefix("refused:"), 0) for _, refused in shards)
        raise VerifyError(f"{COMPUTED}{name} of {file} is nothing that can be computed")

    def _removed(self, experiment: str, role: str) -> int:
        """How many images of a cohort were taken out as copies."""
        return sum(int(row["count"]) for row in self._table(f"{experiment}/duplicates/{role}/removed.csv"))

    def _composed(self, experiment: str) -> float:
        """The epsilon of all private models of an experiment together."""
        if self.study is None or experiment not in self.study.experiments:
            raise VerifyError("which trainings are private, and delta, stand in the study file; name it with --study")
        asked = self.study.experiments[experiment]
        names = [arm.name for arm in asked.arms.values() if arm.recipe == "private"]
        files = [f"{experiment}/finetune/{name}/seed-{seed}/certificate.json" for name in names for seed in asked.seeds]
        runs = [
            accounting.Run(**{name: self._content(file)[name] for name in ("noise_multiplier", "sample_rate", "steps")})
            for file in files
        ]
        return accounting.compose(runs, delta=asked.privacy.delta)


def parts(text: str) -> list[tuple[str, str]]:
    """The keys and values of a `data-row`; VerifyError for one that is none."""
    found = []
    for part in filter(None, text.split(";")):
        key, equals, value = part.partition("=")
        if not equals:
            raise VerifyError(f"row {text!r} is no list of key=value")
        found.append((key, unquote(value)))
    return found


def _pointed(value: Any, pointer: str, *, file: str) -> Any:
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(name)] if isinstance(value, list | tuple) else value[name]
        except (LookupError, TypeError, ValueError):
            raise VerifyError(f"{file} has nothing at {pointer}") from None
    return value


def _header(path: Path) -> tuple[list[str], dict[str, int]]:
    """The image ids of a shard, and how many images were refused, by reason."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > path.stat().st_size:
                raise VerifyError(f"{path.name} is not a shard")
            held = json.loads(stream.read(length))["__metadata__"]
            return json.loads(held["image_ids"]), json.loads(held["refused"])
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise VerifyError(f"{path.name} is not a shard ({error})") from None


def _told(row: Sequence[tuple[str, str]]) -> str:
    return ";".join(f"{key}={value}" for key, value in row) or "no key"
