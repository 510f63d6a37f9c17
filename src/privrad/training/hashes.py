"""Hashes of what a training depends on: its images, its labels, its settings, and what computes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from privrad import config, files, provenance
from privrad.imaging.shards import batched
from privrad.training import data


def of_training(part: data.Part, *, asked: Any, performance: config.Performance) -> str:
    """The SHA-256 of all that a pretraining depends on: its images and labels, what is `asked`, what computes it."""
    findings = [column for column in part.table.columns if column not in ("sex", "age", "bedside")]
    parts = [images_sha256(part), table_sha256(part, findings=findings), asked]
    return of([*parts, machinery(performance, code=sources_sha256("training.pretrain"))])


def machinery(performance: config.Performance, **code: str) -> dict[str, str]:
    """What computes the weights, as far as their last bits depend on it; `code` names the hash of its source files."""
    return {
        **code,
        "torch": version("torch"),
        "device": performance.device,
        "threads": str(performance.threads),
        "processes": str(performance.processes),
    }


def sources_sha256(module: str) -> str:
    """The SHA-256 over the source files that the results of a module of privrad depend on."""
    return of([[path.name, files.sha256(path)] for path in provenance.sources(module)])


def images_sha256(part: data.Part) -> str:
    """The SHA-256 over the pixels of a part, in the order of image_id; ids and shards do not enter."""
    digest = hashlib.sha256(f"{len(part)} {part.images.shape}".encode())
    for rows in batched(part.rows, shape=part.images.shape):
        digest.update(np.ascontiguousarray(part.images.take(rows)).data)
    return digest.hexdigest()


def table_sha256(part: data.Part, *, findings: Sequence[str]) -> str:
    """The SHA-256 over the ids and labels of a part, in the order of image_id."""
    return hashlib.sha256(part.table[["image_id", "patient_id", *findings]].to_csv(index=False).encode()).hexdigest()


def of(value: Any) -> str:
    """The SHA-256 of plain values."""
    return hashlib.sha256(canonical(value)).hexdigest()


def canonical(value: Any) -> bytes:
    """Plain values as JSON, alike for equal ones."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()
