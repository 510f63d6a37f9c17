"""The lines in a model card that score a cohort, and one radiograph or CT scan."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from privrad.report import modality
from privrad.report.account import Account, Model

ARCHITECTURE = """\
architecture = checkpoint.Architecture(
    network="{network}",
    width={width},
    groups={groups},
    activation="{activation}",
    findings=(
{findings}    ),
)
network = checkpoint.load(Path("model.safetensors"), architecture=architecture).eval()
"""
SCORES = """\
with torch.no_grad():
    scores = torch.sigmoid(network(normalise(torch.from_numpy({prepared})[None])))[0]
for finding, score in zip(architecture.findings, scores.tolist(), strict=True):
    print(f"{{finding}}: {{score:.3f}}")
"""
IMPORTS = """\
from pathlib import Path

import torch

from privrad.imaging import {imaging}
from privrad.models.pixels import normalise
from privrad.training import checkpoint

"""
RADIOGRAPH = """\
image = radiograph.prepare(read.read_radiograph(Path("radiograph.dcm")), size={size})
"""
SCAN = """\
scan = read.read_scan(Path("scan"))  # a NIfTI file, or the folder of a DICOM series
volume = ct.prepare(scan, size={size}, window={window})
"""


@dataclass(frozen=True)
class Snippet:
    """A few lines of a language, and what they are for."""

    title: str
    text: str
    language: str


def commands(account: Account, model: Model) -> str:
    """How to check the model, and how to score and measure a prepared cohort with it."""
    which = f"--experiment {account.name} --arm {shlex.quote(model.arm.name)} --seed {model.seed}"
    files = "--shards shard-*.safetensors --manifest manifest.parquet --assignment assignment.parquet"
    return "\n".join(
        [
            "privrad verify .          # a folder with certificate.json and model.safetensors",
            f"privrad predict --study study.yaml {which} --weights model.safetensors \\",
            f"  {files} --out predictions.parquet",
            "privrad evaluate --predictions predictions.parquet --out evaluation",
        ]
    )


def one(account: Account, model: Model) -> list[Snippet]:
    """How to score one radiograph or CT scan, and how to look at it as it was prepared."""
    image, said = account.experiment.image, modality.of(account.experiment)
    scored = Snippet(f"One {said.image} ({said.files}):", python(account, model), "python")
    if not isinstance(image.size, tuple) or image.window is None:
        return [scored]
    size, window = (" ".join(f"{number:g}" for number in numbers) for numbers in (image.size, image.window))
    shell = f"privrad prepare-volume scan prepared.nii.gz --size {size} --window {window}"
    return [scored, Snippet("To see what the network is given:", shell, "sh")]


def python(account: Account, model: Model) -> str:
    """How to score one radiograph or CT scan."""
    network, image = account.experiment.model, account.experiment.image
    volume = isinstance(image.size, tuple)
    read = SCAN.format(size=image.size, window=image.window) if volume else RADIOGRAPH.format(size=image.size)
    built = ARCHITECTURE.format(
        network=network.network,
        width=network.width,
        groups=network.groups,
        activation=model.arm.activation,
        findings="".join(f'        "{finding}",\n' for finding in account.experiment.findings),
    )
    imports = IMPORTS.format(imaging="ct, read" if volume else "radiograph, read")
    return imports + built + read + SCORES.format(prepared="volume" if volume else "image")
