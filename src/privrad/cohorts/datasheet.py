"""Datasheets: what is known of each layout's cohort before anything of it is read, one YAML file each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from privrad.cohorts.tables import CohortError
from privrad.config.values import Frozen

Sentence = Annotated[str, Field(min_length=1, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]


class Datasheet(Frozen):
    """A published cohort, as its authors give it; a number that they do not give is None.

    `agreement` is True where a signed agreement, or a term of the licence, forbids that its pictures be passed on.
    `labels` says how they came about and what 1 means, `patients_are` how patients are told apart.
    """

    name: Sentence
    source: Sentence
    images: Count | None
    patients: Count | None
    licence: Sentence
    agreement: Annotated[bool, Field(strict=True)]
    labels: Sentence
    patients_are: Sentence
    artefacts: tuple[Sentence, ...]
    notes: tuple[Sentence, ...]


def read(layout: str, *, folder: Path) -> Datasheet:
    """The datasheet `<layout>.yaml` of a folder; CohortError names it where it is missing or not as it must be."""
    path = folder / f"{layout}.yaml"
    try:
        return Datasheet.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError:
        raise CohortError(
            f"datasheet {path} is missing; it is part of privrad's source, in resources/datasheets"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise CohortError(f"datasheet {path} is not YAML that can be used ({reason}); correct it") from None
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}" for fault in error.errors()
        )
        raise CohortError(
            f"datasheet {path} cannot be used: {faults}. It holds {', '.join(Datasheet.model_fields)}"
        ) from None
