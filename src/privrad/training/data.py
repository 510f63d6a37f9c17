"""One split of a cohort as arrays: image rows in the shard store, patients and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from privrad.imaging.shards import Images

if TYPE_CHECKING:
    from torch import Tensor

Split = Literal["train", "validation", "test"]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """The images of one split that were prepared, in the order of image_id.

    `rows` are their rows in the shard store, `labels` float32 [images, findings], `table` their rows of the manifest.
    """

    images: Images
    rows: Integers
    labels: npt.NDArray[np.float32]
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, positions: Integers) -> Tensor:
        """uint8 [n, (slices,) rows, columns] of the images at `positions` of this part."""
        import torch

        return torch.from_numpy(self.images.take(self.rows[positions]))

    def targets(self, positions: Integers) -> Tensor:
        """float32 [n, findings] of the images at `positions` of this part."""
        import torch

        return torch.from_numpy(self.labels[positions])

    def units(self, unit: Literal["patient", "record"]) -> list[Integers]:
        """The positions of each unit of privacy: those of a patient, in the order of patient_id, or each alone."""
        if unit == "record":
            return list(np.arange(len(self), dtype=np.int64)[:, None])
        codes, _ = pd.factorize(self.table["patient_id"], sort=True)
        order = np.argsort(codes, kind="stable").astype(np.int64)
        return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else []


def load(images: Images, *, manifest: Path, assignment: Path, findings: Sequence[str], split: Split) -> Part:
    """Join the manifest and the split's assignment to the images that were prepared.

    The validation split may be empty. Raises ValueError for a table that cannot be read or lacks a column, and for
    another split without prepared images.
    """
    listed = tabulate(manifest, assignment, findings=findings, split=split)
    rows = pd.Index(images.image_ids).get_indexer(pd.Index(listed["image_id"]))
    table = listed[rows >= 0].reset_index(drop=True)
    if table.empty and split != "validation":
        told = ", ".join(f"{count} {reason}" for reason, count in images.refused.items()) or "none"
        raise ValueError(
            f"split {split} of {manifest} lists {len(listed)} images and none is prepared "
            f"(refused in preparation: {told}); mend those, change the split's shares or enlarge the cohort"
        )
    return Part(images, rows[rows >= 0].astype(np.int64), table[list(findings)].to_numpy(np.float32), table)


def tabulate(manifest: Path, assignment: Path, *, findings: Sequence[str], split: Split) -> pd.DataFrame:
    """The manifest's rows of one split, in the order of image_id, with the findings' labels.

    Raises ValueError for a table that cannot be read or lacks a column, for labels other than 0 and 1, and where the
    split does not name each patient of the manifest once.
    """
    columns = ["image_id", "patient_id", "sex", "age", "bedside", *findings]
    table = _read(manifest, columns)
    assigned = _read(assignment, ["patient_id", "split"])
    if assigned["patient_id"].duplicated().any() or not table["patient_id"].isin(assigned["patient_id"]).all():
        raise ValueError(f"split {assignment} must name each patient of {manifest} once; run the split step again")
    chosen = table[table["patient_id"].isin(assigned.loc[assigned["split"] == split, "patient_id"])]
    labels = chosen[list(findings)].to_numpy()
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"manifest {manifest} has labels other than 0 and 1; run the ingest step again")
    return chosen.sort_values("image_id").reset_index(drop=True)


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        present = pq.read_schema(path).names
        missing = sorted(set(columns) - set(present))
        if missing:
            raise ValueError(f"table {path} lacks {', '.join(missing)}; run the step that writes it again")
        return pd.read_parquet(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"table {path} cannot be read ({error}); run the step that writes it again") from None
