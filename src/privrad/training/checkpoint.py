"""A network's weights as safetensors, with what is needed to build it again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from privrad import config, files
from privrad.models import residual, scale_resnet9


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a weights file is for: the network, its size, its activation and the finding of each output, in order."""

    network: str
    width: int
    groups: int
    activation: str
    findings: tuple[str, ...]

    @classmethod
    def of(cls, model: config.Model, *, activation: str, findings: Sequence[str]) -> Architecture:
        """The architecture that a study's model block gives."""
        return cls(
            network=model.network,
            width=model.width,
            groups=model.groups,
            activation=activation,
            findings=tuple(findings),
        )

    def build(self, *, seed: int = 0) -> nn.Module:
        """A network of this architecture with fresh weights; `scale_resnet9` is the one for volumes."""
        sizes: dict[str, Any] = {"outputs": len(self.findings), "width": self.width, "groups": self.groups}
        if self.network == "scale_resnet9":
            return scale_resnet9.build(3, **sizes, activation=self.activation, seed=seed)
        return residual.build(self.network, **sizes, activation=self.activation, seed=seed)


def save(path: Path, model: nn.Module, *, architecture: Architecture) -> None:
    """Write the weights and their architecture atomically; same weights, same bytes.

    Raises ValueError where a weight is not finite.
    """
    tensors: dict[str, Tensor] = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise ValueError(f"weight {name} of {path} is not finite; lower the learning rate")
    with files.atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"privrad": json.dumps(asdict(architecture), sort_keys=True)})


def load(path: Path, *, architecture: Architecture) -> nn.Module:
    """Read the weights of a network of this architecture.

    Raises ValueError for a missing or damaged file, and for one of another architecture, naming what differs.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ValueError(f"weights {path} cannot be read ({error}); run the step that writes them again") from None
    _compare(path, metadata.get("privrad"), architecture)
    model = architecture.build()
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if expected != found:
        odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise ValueError(
            f"weights {path}: {odd[0]} is {found.get(odd[0])}, not {expected.get(odd[0])}; train them again"
        )
    model.load_state_dict(tensors)
    return model


def _compare(path: Path, stored: str | None, wanted: Architecture) -> None:
    try:
        found = json.loads(stored or "null")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"weights {path} do not say what network they are for; use weights that privrad wrote")
    for key, value in json.loads(json.dumps(asdict(wanted))).items():
        if found.get(key) != value:
            raise ValueError(
                f"weights {path} are for {key} {found.get(key)}, and {value} is asked for; "
                "train them again with the study's settings, or set the study's to theirs"
            )
