"""The work folder of one fine-tuning: its runs, each with its key, its checkpoint and, once done, what it made."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from privrad import files
from privrad.training.binding import Binding
from privrad.training.lock import own_folder

KEY_BYTES = 32
OUTPUTS = ("model.safetensors", "training.json", "certificate.json")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: a folder named by its id, which belongs to one binding for good.

    In it `run.json` (the binding), `key` (the secret, until the run ends), `start.json` (what was chosen before the
    first step), `state.safetensors` (how far it has come), and in the end the OUTPUTS, the certificate last.
    """

    folder: Path
    binding: Binding

    @property
    def run_id(self) -> str:
        return self.folder.name

    @property
    def key_file(self) -> Path:
        return self.folder / "key"

    @property
    def state_file(self) -> Path:
        return self.folder / "state.safetensors"

    def output(self, name: str) -> Path:
        """The path of one of OUTPUTS."""
        return self.folder / name

    @property
    def trained(self) -> bool:
        """Whether weights and account are there, so that no step is left to take."""
        return self.output("training.json").exists()

    @property
    def finished(self) -> bool:
        """Whether all OUTPUTS are there."""
        return self.output("certificate.json").exists()

    @property
    def repeatable(self) -> bool:
        """Whether its randomness follows from its seeds, so that it can be had again at no cost."""
        return "code" in self.binding.machinery

    def secret(self) -> bytes:
        """The secret of an unfinished run; ValueError where it is gone or damaged."""
        try:
            secret = bytes.fromhex(self.key_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            secret = b""
        if len(secret) != KEY_BYTES:
            raise ValueError(
                f"key {self.key_file} is missing or damaged, so run {self.run_id} cannot be resumed; restore it, or "
                "delete the run's folder and set spend: true to train it anew at a new charge"
            )
        return secret

    def start(self) -> dict[str, Any] | None:
        """What was chosen before the first step, or None before it was chosen."""
        path = self.folder / "start.json"
        return _json(path) if path.exists() else None

    def keep_start(self, chosen: Mapping[str, Any]) -> None:
        """Write what was chosen, once and for all."""
        with files.atomic(self.folder / "start.json", mode=files.PRIVATE) as temporary:
            temporary.write_text(json.dumps(chosen, sort_keys=True), encoding="utf-8")
        _sync(self.folder)

    def forget_key(self) -> None:
        """Delete the secret and the state, and what a kill left of one being written: no step can be repeated."""
        for path in (self.key_file, self.state_file, *self.folder.glob(".*")):
            path.unlink(missing_ok=True)
        _sync(self.folder)

    def deliver(self, targets: Mapping[str, Path]) -> None:
        """Copy each of OUTPUTS to its target."""
        for name in OUTPUTS:
            with files.atomic(targets[name]) as temporary:
                shutil.copyfile(self.output(name), temporary)

    def remove(self) -> None:
        """Delete the run with all that it holds."""
        shutil.rmtree(self.folder)


def run_key(secret: bytes, *, bound_to: bytes) -> bytes:
    """The key of a run's noise, batches and views: HKDF-SHA256 (RFC 5869) of its secret, bound to a digest.

    Raises ValueError for a secret that is not 32 bytes long.
    """
    if len(secret) != KEY_BYTES:
        raise ValueError(f"secret of {len(secret)} bytes must have {KEY_BYTES}")
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"privrad run " + bound_to).derive(secret)


def create(work: Path, *, run_id: str, binding: Binding, secret: bytes) -> Run:
    """Make the folder of a run, whole or not at all, readable by its owner alone and synced to disk."""
    parent = own_folder(own_folder(work) / "runs")
    for unfinished in parent.glob(".*"):
        shutil.rmtree(unfinished)
    draft = own_folder(parent / f".{run_id}.{secrets.token_hex(4)}")
    run = Run(folder=draft, binding=binding)
    content = {"asked": dict(binding.asked), "machinery": dict(binding.machinery)}
    for name, text in (("run.json", json.dumps(content, sort_keys=True)), (run.key_file.name, secret.hex())):
        with files.atomic(draft / name, mode=files.PRIVATE) as temporary:
            temporary.write_text(text, encoding="ascii")
    _sync(draft)
    draft.rename(parent / run_id)
    _sync(parent)
    return Run(folder=parent / run_id, binding=binding)


def find(work: Path) -> list[Run]:
    """The runs of a work folder, the latest last."""
    folders = [path for path in (work / "runs").glob("*/") if not path.name.startswith(".")]
    return [_open(path) for path in sorted(folders, key=lambda path: (path / "run.json").stat().st_mtime_ns)]


def opened(work: Path, run_id: str) -> Run:
    """The run of this id; ValueError where the work folder lacks it."""
    folder = work / "runs" / run_id
    if not folder.is_dir():
        raise ValueError(
            f"work folder {work} has no run {run_id}, which the reservation names; restore the folder, or run the "
            "reserve step again"
        )
    return _open(folder)


def _open(folder: Path) -> Run:
    content = _json(folder / "run.json")
    try:
        return Run(folder=folder, binding=Binding(asked=content["asked"], machinery=content["machinery"]))
    except (KeyError, TypeError):
        raise ValueError(
            f"{folder / 'run.json'} is not what the reserve step wrote; restore it from a backup"
        ) from None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); restore it from a backup") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not what privrad wrote; restore it from a backup")
    return content


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
