"""The predictions of an experiment, read again for what is recomputed from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from privrad.verify.read import VerifyError

Floats = NDArray[np.float64]
Run = tuple[str, int]
Group = tuple[str, str]
ALL = ("all", "all")
OF_ROW = ("image_id", "patient_id", "finding", "label", "score", "split", "arm", "epsilon", "seed")
QUARTILES = "quartiles"
COUNTED = "findings"
BOTH = " & "


@dataclass(frozen=True)
class Scored:
    """What one model said of one finding: places among the images, scores, and labels, in the order of the images."""

    rows: NDArray[np.intp]
    scores: Floats
    labels: NDArray[np.bool_]


@dataclass(frozen=True)
class Predicted:
    """The images of one split that any model scored, in the order of their ids.

    `patients` and `units` number the patient and the redrawn unit of each, in ascending order of their ids; `columns`
    are those to group by.
    """

    images: pd.DataFrame
    patients: NDArray[np.intp]
    units: NDArray[np.intp]
    columns: tuple[str, ...]
    findings: tuple[str, ...]
    scored: Mapping[tuple[Run, str], Scored]
    epsilons: Mapping[Run, float]

    def of_run(self, run: Run) -> dict[str, Scored]:
        """What one model said, by finding."""
        return {finding: self.scored[run, finding] for finding in self.findings if (run, finding) in self.scored}

    def age_edges(self, asked: str | Sequence[float], *, minimum: int) -> list[float]:
        """The edges of the bands of age: those asked for, or what quartiles of the patients come to; none without ages.

        Quartiles are ages in whole years, each patient's lowest; a band includes the year of its quartile. One that
        closes a band of fewer than `minimum` patients, or leaves fewer above, is none.
        """
        if "age" not in self.columns:
            return []
        if asked != QUARTILES:
            return [float(edge) for edge in asked]
        youngest = pd.Series(self._ages()).groupby(self.patients).agg(lambda ages: ages[ages >= 0].min())
        years = np.floor(youngest[np.isfinite(youngest)].to_numpy(dtype=float))
        edges = [0.0]
        for share in (0.25, 0.5, 0.75) if years.size else ():
            beyond = float(np.quantile(years, share, method="inverted_cdf")) + 1
            sides = np.sum((years >= edges[-1]) & (years < beyond)), np.sum(years >= beyond)
            if min(sides) >= max(1, minimum):
                edges.append(beyond)
        return [*edges, math.inf]

    def groups(self, named: Iterable[Group], *, edges: Sequence[float] = ()) -> dict[Group, NDArray[np.bool_]]:
        """The members of every group: of the whole, and of each value of every column, of age by bands of `edges`.

        `named` are the groups that the results name: their pairs of columns are taken over.
        """
        values = {column: self._values(column, edges) for column in self.columns}
        if len(self.findings) > 1:
            values[COUNTED] = self._counted()
        for column in dict.fromkeys(column for column, _ in named if column not in values and column != ALL[0]):
            pair = next((pair for pair in _pairs(column) if all(each in values for each in pair)), None)
            if pair is not None:
                values[column] = np.array(
                    [f"{one}{BOTH}{other}" for one, other in zip(values[pair[0]], values[pair[1]], strict=True)]
                )
        members = {ALL: np.ones(len(self.images), dtype=bool)}
        for column, of_image in values.items():
            members |= {(column, str(value)): of_image == value for value in np.unique(of_image)}
        return members

    def _values(self, column: str, edges: Sequence[float]) -> NDArray[np.str_]:
        """The value of each image as results name it."""
        given = self.images[column]
        if column != "age":
            return np.array(
                ["unknown" if missing else _text(value) for value, missing in zip(given, given.isna(), strict=True)]
            )
        ages = self._ages()
        names = np.where(np.isnan(ages), "unknown", "outside").astype(object)
        for low, high in pairwise(edges):
            names[(ages >= low) & (ages < high)] = f"[{low:g},{high:g})"
        return np.asarray(names, dtype=np.str_)

    def _ages(self) -> Floats:
        """The years of each image, NaN where they are not known."""
        given = self.images["age"]
        known = pd.to_numeric(given.astype(object).where(given.notna()), errors="coerce")
        return np.asarray(known.to_numpy(dtype=float))

    def _counted(self) -> NDArray[np.str_]:
        """How many findings each image shows."""
        present = np.zeros((len(self.images), len(self.findings)), dtype=int)
        for (_, finding), held in self.scored.items():
            present[held.rows, self.findings.index(finding)] = held.labels
        names: NDArray[np.str_] = np.array(["0", "1", "2", "3+"])[np.minimum(present.sum(axis=1), 3)]
        return names


def read(paths: Sequence[Path], *, resample: str) -> dict[str, Predicted]:
    """The predictions in some files, by split; VerifyError for a file that cannot be read."""
    tables = []
    for path in paths:
        try:
            tables.append(pd.read_parquet(path))
        except (OSError, ValueError) as error:
            raise VerifyError(
                f"{path.parent.parent.name}/{path.parent.name}/{path.name} cannot be read ({error})"
            ) from None
    if not tables:
        raise VerifyError("there are no predictions to recompute from")
    together = pd.concat(tables, ignore_index=True)
    return {str(split): _arranged(part, resample=resample) for split, part in together.groupby("split", sort=False)}


def _arranged(table: pd.DataFrame, *, resample: str) -> Predicted:
    columns = tuple(str(column) for column in table.columns if column not in OF_ROW)
    images = table.drop_duplicates("image_id").sort_values("image_id").reset_index(drop=True)
    place = pd.Series(np.arange(len(images)), index=images["image_id"])
    scored, epsilons = {}, {}
    for (arm, seed, finding), part in table.groupby(["arm", "seed", "finding"], sort=False):
        at = place.loc[part["image_id"]].to_numpy()
        order = np.argsort(at)
        scores, labels = part["score"].to_numpy(float)[order], part["label"].to_numpy()[order] == 1
        run = (str(arm), int(str(seed)))
        scored[run, str(finding)] = Scored(at[order], scores, labels)
        epsilons[run] = float(part["epsilon"].iloc[0])
    patients = np.unique(images["patient_id"].to_numpy(str), return_inverse=True)[1]
    units = patients if resample == "patient" else np.arange(len(images))
    findings = tuple(str(finding) for finding in dict.fromkeys(table["finding"]))
    return Predicted(images, patients, units, columns, findings, scored, epsilons)


def _pairs(column: str) -> list[tuple[str, str]]:
    """The ways to read a column's name as that of two columns together."""
    parts = column.split(BOTH)
    return [(BOTH.join(parts[:at]), BOTH.join(parts[at:])) for at in range(1, len(parts))]


def _text(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value).strip()
    return text or "unknown"
