"""A YAML file read strictly into a frozen model, each fault a sentence with its key, its value and what is allowed."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Checked = TypeVar("Checked", bound=BaseModel)
LARGEST, MOST = 1 << 18, 20_000
"""The bytes of a study file, and the values that it may stand for with each alias written out."""
LONGEST = 200
"""The letters of a key or value that are shown, and of a number that is read."""
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""Control and direction characters: no key or value needs one, and what shows it could show something else."""


class ConfigError(ValueError):
    """A study file that cannot be used; the message names every key at fault and what is allowed."""


def read(path: Path, model: type[Checked]) -> Checked:
    """The content of `path` as `model`.

    Raises ConfigError when the file is missing, not YAML, or holds a key or value that is not allowed.
    """
    try:
        raw = _loaded(_text(path))
    except OSError as error:
        raise ConfigError(
            f"study file {path}: {error.strerror}; name an existing one (snakemake --configfile, privrad --study)"
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"study file {path} is not YAML that can be used: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(
            f"study file {path} is not YAML that can be used: it is nested too deep; see config.yaml"
        ) from None
    if not isinstance(raw, dict):
        raise ConfigError(f"study file {path} must hold keys and values; see config.yaml for one that works")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        faults = (_complaint(fault, raw, model) for fault in error.errors())
        raise ConfigError(f"study file {path}:\n" + "\n".join(faults)) from None


def expand(value: object) -> object:
    """Replace ${NAME} in a text by the environment variable of that name; ValueError where it is not set."""
    if not isinstance(value, str):
        return value
    unset = [name for name in re.findall(r"\$\{(\w+)\}", value) if name not in os.environ]
    if unset:
        raise ValueError(f"environment variable {unset[0]} is not set; export it, or write the path itself")
    return re.sub(r"\$\{(\w+)\}", lambda match: os.environ[match[1]], value)


class _Loader(yaml.SafeLoader):
    """YAML in which a repeated key is an error, not a silent choice of the last, and each fault a YAMLError."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        kind, line = node.tag.rpartition(":")[2], node.start_mark.line + 1
        shown = _short(repr(node.value)) if isinstance(node, yaml.ScalarNode) else "a list"
        if kind in ("int", "float") and isinstance(node, yaml.ScalarNode) and len(node.value) > LONGEST:
            raise yaml.YAMLError(f"line {line} has {shown}, a number of more than {LONGEST} letters; shorten it")
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            raise yaml.YAMLError(
                f"line {line} has {shown}, which is no {kind}; correct it, or put it in quotes"
            ) from None


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST} bytes; a study has keys and values, and no data")
    return content.decode("utf-8")


def _loaded(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST:
            raise ValueError(f"its aliases stand for more than {MOST} values; write out what they mean")
        for scalar in _scalars(node, set()):
            if unseen := UNSEEN.search(scalar.value):
                line, code = scalar.start_mark.line + 1, f"U+{ord(unseen[0]):04X}"
                raise ValueError(
                    f"line {line} has {_short(repr(scalar.value))}, with the unseen character {code}; remove it"
                )
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _within(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for; `known` has those counted before. One that holds itself has no end."""
    if id(node) not in known:
        known[id(node)] = MOST
        known[id(node)] = 1 + sum(_size(part, known) for part in _within(node))
    return known[id(node)]


def _scalars(node: yaml.Node, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif id(node) not in seen:
        seen.add(id(node))
        for part in _within(node):
            yield from _scalars(part, seen)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    named = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    keys = [key.value for key in named if key.tag != "tag:yaml.org,2002:merge"]
    repeated = sorted(key for key, times in Counter(keys).items() if times > 1)
    if repeated:
        raise yaml.YAMLError(
            f"key {repeated[0]!r} stands twice in the block at line {node.start_mark.line + 1}; keep one"
        )
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _complaint(fault: Any, raw: Any, model: type[BaseModel]) -> str:
    """One line: the key as it stands in the file, its value, and what is allowed."""
    node, path = raw, []
    for part in fault["loc"]:
        within = part in node if isinstance(node, dict) else isinstance(node, list) and part in range(len(node))
        if within:
            node = node[part]
        elif fault["type"] != "missing" or part != fault["loc"][-1]:
            continue
        path.append(str(part))
    key = _short(".".join(path)) or "the study"
    if fault["type"] == "extra_forbidden":
        return (
            f"  {key}: unknown key; remove it or correct its spelling. Allowed here: {_siblings(fault['loc'], model)}"
        )
    value = "" if isinstance(node, dict) else f" = {_short(repr(node))}"
    return f"  {key}{value}: {fault['msg'].removeprefix('Value error, ')}"


def _short(shown: str) -> str:
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def _siblings(location: tuple[int | str, ...], outermost: type[BaseModel]) -> str:
    """The keys allowed beside the last one of `location`."""
    model: Any = outermost
    for part in location[:-1]:
        fields = getattr(model, "model_fields", {})
        model = _model_within(fields[part].annotation) if part in fields else model
    return ", ".join(sorted(getattr(model, "model_fields", {}))) or "none"


def _model_within(annotation: Any) -> Any:
    """The first model that an annotation holds, such as Cohort in `Cohort | None`."""
    if hasattr(annotation, "model_fields"):
        return annotation
    found = (_model_within(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)
