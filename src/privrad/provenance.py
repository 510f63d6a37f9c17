"""Which source files a module's results depend on."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from privrad import files

PACKAGE = Path(__file__).parent

RULES = {
    "phantom": ["cohorts.phantom"],
    "ingest": ["cohorts.ingest"],
    "locate": ["cohorts.locate"],
    "duplicates": ["cohorts.duplicates"],
    "split": ["cohorts.split"],
    "prepare": ["imaging.prepare"],
    "pretrain": ["training.pretrain"],
    "reserve": ["training.reserve", "training.finetune"],
    "predict": ["training.predict"],
    "evaluate": ["evaluation.evaluate"],
    "figures": ["report.figures"],
    "report": ["report.report"],
}
"""The modules behind each rule of the workflow; a training depends on those that its reservation names."""


def run(*, out: Path) -> None:
    """Write `<rule>.sha256` into `out` for each of RULES: the hashes of its source files, as sha256sum takes them."""
    for rule in RULES:
        listed = "".join(f"{files.sha256(file)}  {_named(file)}\n" for file in behind(rule))
        files.write_text(out / f"{rule}.sha256", listed)


def behind(rule: str) -> list[Path]:
    """The source files that the results of one of RULES depend on."""
    return sorted({file for module in RULES[rule] for file in sources(module)})


def _named(file: Path) -> str:
    return f"src/{file.relative_to(PACKAGE.parent).as_posix()}"


def sources(module: str) -> list[Path]:
    """The files behind `module` (such as "cohorts.split"): itself, all it imports of privrad, and their data files.

    Imports are read from the source text, wherever they stand in it. Raises ValueError for a module that privrad lacks.
    """
    if _file(module) is None:
        raise ValueError(
            f"module {module!r} is not one of privrad's; name a file below {PACKAGE.name}/, such as 'cohorts.split'"
        )
    found: set[Path] = set()
    met: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        met.add(name)
        if (file := _file(name)) is not None:
            found.add(file)
            found.update(_data_in(file.parent) if file.parent != PACKAGE else ())
            waiting |= set(_imports(file)) - met
    return sorted(found)


def _file(module: str) -> Path | None:
    path = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@functools.cache
def _data_in(folder: Path) -> tuple[Path, ...]:
    below = (path for path in folder.rglob("*") if path.suffix != ".py" and "__pycache__" not in path.parts)
    return tuple(path for path in below if path.is_file())


@functools.cache
def _imports(file: Path) -> tuple[str, ...]:
    """Modules of privrad named by the import statements of `file`, without the leading package name."""
    return tuple(_imported(file))


def _imported(file: Path) -> Iterator[str]:
    within = file.relative_to(PACKAGE).parent.parts
    for depth in range(len(within) + 1):
        yield ".".join(within[:depth])
    for node in _statements(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, within)
            names = [base] + [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith(f"{PACKAGE.name}."):
                yield name.removeprefix(f"{PACKAGE.name}.")


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements below a node; expressions, which hold none, are not walked through."""
    for below in ast.iter_child_nodes(node):
        if isinstance(below, ast.stmt):
            yield below
        if isinstance(below, (ast.stmt, ast.excepthandler, ast.match_case)):
            yield from _statements(below)


def _absolute(node: ast.ImportFrom, within: tuple[str, ...]) -> str:
    if not node.level:
        return node.module or ""
    parts = [PACKAGE.name, *within][: len(within) + 2 - node.level]
    return ".".join([*parts, node.module] if node.module else parts)
