"""What the sub-commands share: their options, and the parts of a study that these name."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privrad import config
from privrad.study_file import UNSEEN

Command = Callable[[argparse.Namespace], int | None]


@dataclass(frozen=True)
class Commands:
    """The sub-commands of one parser."""

    parsers: Any

    def add(self, name: str, command: Command, summary: str, *options: str) -> argparse.ArgumentParser:
        """A sub-command that takes `options` of the table below, and --log."""
        added: argparse.ArgumentParser = self.parsers.add_parser(name, help=summary, description=summary)
        added.set_defaults(command=command)
        added.add_argument("--log", type=Path, help="also write messages to this file")
        for option in options:
            added.add_argument(option, **OPTIONS[option])
        return added

    def group(self, name: str, summary: str) -> Commands:
        """A sub-command that has sub-commands of its own."""
        parser = self.parsers.add_parser(name, help=summary, description=summary)
        return Commands(parser.add_subparsers(title="commands", dest="of_group", required=True, metavar="COMMAND"))


def chosen_experiment(options: argparse.Namespace) -> config.Experiment:
    """The experiment that the options name; ConfigError where the study lacks it."""
    experiments = config.load(options.study).experiments
    if options.experiment not in experiments:
        raise config.ConfigError(
            f"experiment {options.experiment!r} is not in {options.study}; it has {', '.join(experiments)}"
        )
    return experiments[options.experiment]


def chosen_cohort(options: argparse.Namespace) -> config.Cohort:
    """The cohort of the role that the options name; ConfigError where the experiment lacks it."""
    roles = chosen_experiment(options).roles
    if options.role not in roles:
        raise config.ConfigError(f"role {options.role!r} has no cohort in {options.study}; it has {', '.join(roles)}")
    return roles[options.role]


def chosen_arm(options: argparse.Namespace) -> config.Arm:
    """The arm that the options name; ConfigError where the experiment lacks it."""
    arms = chosen_experiment(options).arms
    if options.arm not in arms:
        raise config.ConfigError(f"arm {options.arm!r} is not in {options.study}; it has {', '.join(arms)}")
    return arms[options.arm]


def plain(message: str) -> str:
    """A message in which text from data neither steers the terminal nor forges a line: further lines are indented."""
    first, *further = message.split("\n")
    lines = [first, *(f"  {line.removeprefix('  ')}" for line in further)]
    return "\n".join(UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", line) for line in lines)


OPTIONS: dict[str, dict[str, Any]] = {
    "--study": {"type": Path, "required": True, "help": "the study file"},
    "--experiment": {"required": True, "help": "the experiment's name in the study file"},
    "--role": {"required": True, "choices": ("public", "private"), "help": "which of the experiment's cohorts"},
    "--arm": {"required": True, "help": "which training, such as eps-7.89 or eps-inf"},
    "--seed": {"type": int, "required": True, "help": "the seed of the training"},
    "--shard": {"type": int, "required": True, "help": "which shard, from 0"},
    "--activation": {"required": True, "choices": ("mish", "relu"), "help": "the network's activation"},
    "--shards": {"type": Path, "nargs": "+", "required": True, "help": "prepared images"},
    "--predictions": {"type": Path, "nargs": "+", "required": True, "help": "Parquet files, long form"},
    "--initial": {"type": Path, "nargs": "?", "help": "weights to start from"},
    "--public": {"type": Path, "nargs": "*", "help": "the public manifest and split, for the weights of the loss"},
    "--public-manifest": {"type": Path, "nargs": "?", "help": "the public cohort's manifest, if there is one"},
    "--public-shards": {"type": Path, "nargs": "*", "help": "the public cohort's prepared images"},
    "--delta": {"type": float, "required": True, "help": "the delta of the guarantee, in (0, 1)"},
    "--sample-rate": {"type": float, "required": True, "help": "expected batch over population, in (0, 1]"},
    "--steps": {"type": int, "required": True, "help": "the number of steps"},
    "--published": {
        "type": Path,
        "default": Path("resources/published"),
        "help": "the published results (default resources/published)",
    },
    "--json": {"action": "store_true", "help": "print JSON"},
    **{
        f"--{name}": {"type": Path, "required": True, "help": summary}
        for name, summary in {
            "root": "the cohort's folder",
            "out": "where to write",
            "report": "where to write the account of the training",
            "certificate": "where to write the certificate",
            "reservation": "what was reserved for this training",
            "work": "the training's own folder for keys, checkpoints and locks",
            "weights": "the model, safetensors",
            "manifest": "the manifest, Parquet",
            "identities": "the people behind patient ids that share a picture, Parquet",
            "kept": "where to write the manifest without the copies",
            "found": "where to write each copy and what it is one of",
            "counts": "where to write how many copies were found",
            "removed": "where to write how many images were taken out",
            "assignment": "the split, Parquet",
            "balance": "where to write the balance of the split",
            "refused": "where to write the counts of refusals",
            "paths": "the plain paths, Parquet",
            "rejects": "where to write the refusals in full",
            "text": "where to write which pictures show text",
            "results": "the study's results folder",
            "private": "the study's private folder",
        }.items()
    },
}
