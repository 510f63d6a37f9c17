"""What the key of a run is bound to: hashes of all that its weights depend on, and of what computes them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from privrad import config, files
from privrad.imaging.shards import open_shards
from privrad.privacy.certificate import engine_sha256
from privrad.training import data, hashes, loss

PRIVATE_PARTS = ("training images", "patients and labels")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The files that a fine-tuning reads; `public` are the public manifest and its split."""

    shards: Sequence[Path]
    manifest: Path
    assignment: Path
    initial: Path | None = None
    public: tuple[Path, Path] | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One fine-tuning of a study: an arm of an experiment and a seed."""

    study: config.Study
    experiment: str
    arm: str
    seed: int

    @property
    def settings(self) -> config.Experiment:
        """The experiment's part of the study."""
        return self.study.experiments[self.experiment]

    @property
    def recipe(self) -> config.Arm:
        """The arm: its epsilon and how it is trained."""
        return self.settings.arms[self.arm]

    @property
    def label(self) -> str:
        """The name by which the ledger knows the job."""
        return f"{self.study.study}/{self.experiment}/{self.arm}/seed-{self.seed}"

    @property
    def for_release(self) -> bool:
        """Whether it trains with noise that nobody can subtract, so that each training is a charge of its own."""
        return self.recipe.recipe == "private" and self.settings.privacy.noise == "release"


@dataclass(frozen=True, kw_only=True)
class Binding:
    """What was asked for, part by part in words, and the machinery that computes it; values are hashes or versions."""

    asked: Mapping[str, str]
    machinery: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The SHA-256 over all parts."""
        return hashlib.sha256(hashes.canonical([dict(self.asked), dict(self.machinery)])).hexdigest()

    def differences(self, other: Binding, *, machinery: bool = True) -> list[str]:
        """The names of the parts that are not alike."""
        pairs = [(self.asked, other.asked), *([(self.machinery, other.machinery)] if machinery else [])]
        return [
            name for one, two in pairs for name in sorted(one.keys() | two.keys()) if one.get(name) != two.get(name)
        ]

    def keyed(self, key: bytes, *, kind: str) -> str:
        """The HMAC-SHA256 of what was asked for; it tells nothing to one without the key."""
        return hmac.digest(key, f"{kind}\0".encode() + hashes.canonical(dict(self.asked)), hashlib.sha256).hex()

    def seeded(self, key: bytes) -> bytes:
        """32 bytes that follow from the settings and the seeds alone, not from data: a secret that can be had again."""
        parts = [self.asked["settings"], self.asked["seeds"]]
        return hmac.digest(key, b"secret\0" + hashes.canonical(parts), hashlib.sha256)

    def data_hmacs(self, key: bytes) -> dict[str, str]:
        """The HMAC-SHA256 of each part that private images or labels enter."""
        return {
            name: hmac.digest(key, f"{name}\0{self.asked[name]}".encode(), hashlib.sha256).hex()
            for name in PRIVATE_PARTS
            if name in self.asked
        }


def bind(job: Job, *, inputs: Inputs) -> Binding:
    """The binding of a job to its inputs as they are now; reads all training images.

    Raises ValueError for files that cannot be read or do not fit together.
    """
    arm, experiment = job.recipe, job.settings
    asked = {
        "initial weights": _file_hash(inputs.initial),
        "settings": hashes.of({"arm": arm.model_dump(mode="json"), **experiment.settings(arm)}),
        "seeds": hashes.of([job.study.seed, job.seed]),
    }
    if arm.recipe != "none":
        part = training_part(job, inputs=inputs)
        weights = loss.positive_weights(
            arm, training=experiment.training, findings=experiment.findings, public=inputs.public
        )
        asked |= {
            "training images": hashes.images_sha256(part),
            "patients and labels": hashes.table_sha256(part, findings=experiment.findings),
            "positive weights": hashes.of(weights),
        }
    return Binding(asked=asked, machinery=_machinery(job))


def training_part(job: Job, *, inputs: Inputs) -> data.Part:
    """The images that the job trains on.

    Raises ValueError where a patient has more images than a record-level plan declares.
    """
    part = data.load(
        open_shards(inputs.shards),
        manifest=inputs.manifest,
        assignment=inputs.assignment,
        findings=job.settings.findings,
        split="train",
    )
    most = job.settings.privacy.max_images_per_patient
    if job.recipe.recipe == "private" and job.settings.privacy.unit == "record" and most is not None:
        found = max(len(positions) for positions in part.units("patient"))
        if found > most:
            raise ValueError(
                f"max_images_per_patient {most} is below what a training patient has; "
                "raise it to a bound that holds, or take unit: patient"
            )
    return part


def _file_hash(path: Path | None) -> str:
    if path is None:
        return "none"
    try:
        return files.sha256(path)
    except OSError as error:
        raise ValueError(
            f"weights {path} cannot be read ({error.strerror}); run the step that writes them again"
        ) from None


def _machinery(job: Job) -> dict[str, str]:
    """What computes the weights: of a run for release, the engine that keeps its guarantee.

    Others can be repeated at no cost, so they are bound to all of the code.
    """
    if job.for_release:
        return hashes.machinery(job.study.performance, engine=engine_sha256())
    return hashes.machinery(job.study.performance, code=hashes.sources_sha256("training.finetune"))
