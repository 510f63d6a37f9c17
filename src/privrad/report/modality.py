"""What is said otherwise of radiographs than of CT scans: one place, so that page, cards and checklists agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from privrad import config


@dataclass(frozen=True)
class Modality:
    """Words for the images of an experiment; the longer ones stand as they are in cards and checklists.

    `image` is what one of them is and `scored` what many are, `unit` and `units` how they are counted, `points` what
    they are made of.
    """

    image: str
    scored: str
    unit: str
    units: str
    points: str
    files: str
    tags: tuple[str, ...]
    channels: str
    layers: str
    refused: str
    missing: str
    unknown: str
    predictors: str
    faults: str
    acquired: str

    @property
    def task(self) -> str:
        """What the models are tested on."""
        return f"Findings on {self.image}s"


RADIOGRAPH = Modality(
    image="radiograph",
    scored="frontal chest radiographs",
    unit="image",
    units="images",
    points="pixels",
    files="DICOM, PNG or JPEG",
    tags=("radiography",),
    channels="three identical channels",
    layers="global average pooling",
    refused="views known not to be frontal, and rows with missing, unknown or contradictory values",
    missing="a blank label is, too, or counts as absent where the layout says so (MIMIC-CXR)",
    unknown="sex, age or bedside",
    predictors="The pixels of one frontal radiograph. Age, sex, view and history are not given to the model.",
    faults="An image that cannot be decoded, or is constant, is refused with the reason and a remedy",
    acquired="scanners, exposure, positions",
)
CT = Modality(
    image="CT scan",
    scored="CT scans",
    unit="scan",
    units="scans",
    points="voxels",
    files="a NIfTI file, or the folder of a DICOM series",
    tags=("computed-tomography", "3d"),
    channels="one channel, which a 1 × 1 × 1 convolution turns into three",
    layers=(
        "each 3 × 3 kernel laid along one of three planes (axial, coronal, sagittal; a third of the output channels "
        "each), adaptive max-pooling to 2 × 2 × 2"
    ),
    refused="rows with missing, unknown or contradictory values, and those whose scan is not there",
    missing="a blank label is, too",
    unknown="sex or age",
    predictors="The voxels of one CT scan. Age, sex, contrast phase and history are not given to the model.",
    faults=(
        "A scan that cannot be decoded, is no regular volume in Hounsfield units (slices missing or doubled, several "
        "series, an unknown orientation, a label map), or shows nothing in the window, is refused with the reason "
        "and a remedy"
    ),
    acquired="scanners, slice thickness, contrast phases",
)
MODALITIES: Mapping[config.Modality, Modality] = {"radiograph": RADIOGRAPH, "ct": CT}


def of(experiment: config.Experiment) -> Modality:
    """The words for the images of an experiment."""
    return MODALITIES[experiment.modality]
