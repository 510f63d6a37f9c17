"""The command line: one sub-command a rule, and the tools beside the workflow."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from privrad.cli import rules, tools
from privrad.cli.options import Commands, plain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command.

    0 when it is done, 1 when it found what it looks for to be wrong, 2 with one message when the input cannot be used.
    """
    options = _parser().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _log_to(options.log)
        found = options.command(options) or 0
        sys.stdout.flush()
        return found
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ValueError as error:
        logging.getLogger("privrad").error("privrad %s: %s", options.name, error)
        return 2
    except OSError as error:
        reason = "a file stands where a folder is needed" if isinstance(error, FileExistsError) else error.strerror
        said = f"{reason}: {error.filename}; give another path or mend this one" if reason else str(error)
        logging.getLogger("privrad").error("privrad %s: %s", options.name, said)
        return 2


def _log_to(path: Path | None) -> None:
    """Messages to the screen and to `path`; of several processes of one training, the others tell errors alone."""
    logging.getLogger("pydicom").disabled = True  # its warnings name files, and a log may be passed on
    first = os.environ.get("RANK", "0") == "0"
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="a" if "RANK" in os.environ else "w", encoding="utf-8"))
    for handler in handlers:
        handler.addFilter(_EachWarningOnce())
        handler.setFormatter(_Plain())
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logging.getLogger("privrad").setLevel(logging.INFO if first else logging.ERROR)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


class _EachWarningOnce(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        repeated = record.levelno == logging.WARNING and message in self._told
        self._told.add(message)
        return not repeated


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="privrad", description="Diagnostic models under differential privacy, from raw radiographs to a report."
    )
    commands = Commands(parser.add_subparsers(title="commands", dest="name", required=True, metavar="COMMAND"))
    rules.register(commands)
    tools.register(commands)
    return parser
