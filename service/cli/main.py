"""The ``proofrank`` command."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from proofrank._version import __version__
from proofrank.core.errors import ProofrankError, did_you_mean, nearest_names
from proofrank.service.cli.extras import CLIENT, SERVER, require_extra

EXIT_USAGE = 2


class Command(NamedTuple):
    """A command: the module in ``proofrank.service.cli`` that does it, the extra that it needs, what it is for."""

    module: str
    extra: str
    help: str


COMMANDS = {
    "evaluate": Command("evaluate", SERVER, "rank the triples of a split and print MRR and Hits@k"),
    "compare": Command(
        "compare", CLIENT, "compare two evaluations: differences with intervals, and what changed"
    ),
    "metrics": Command("rank_metrics", SERVER, "compute metrics of stored ranks, by PyKEEN's names"),
    "why": Command("why", SERVER, "say why a triple has its rank: its proof, and what scores higher"),
    "sample": Command("sample", SERVER, "draw trajectories of triples and say how many of them are proofs"),
    "check": Command(
        "check", SERVER, "read a dataset and say what was understood and what is probably wrong"
    ),
    "rank": Command("rank", CLIENT, "have a running server rank a triple, a file of triples or a split"),
    "replay": Command("replay", SERVER, "run the candidates of a recorded evaluation and compare"),
    "audit": Command("audit", SERVER, "find what cannot be in the recorded outcomes of an evaluator"),
    "provable": Command(
        "provable", SERVER, "say which triples have a proof, the fewest steps, and the highest MRR"
    ),
    "diff": Command("diff", SERVER, "prove the same candidates with two engines and show where they part"),
    "fit-hybrid": Command(
        "fit_hybrid", SERVER, "fit the weights of hybrid scores, of an embedding and a proof, to valid"
    ),
    "import": Command("import_checkpoint", SERVER, "make a policy folder of a checkpoint of the public code"),
    "import-embedding": Command(
        "import_embedding", SERVER, "make an embedding's folder of one of the public code"
    ),
    "logits": Command("logits", SERVER, "compute logits of given states and compare them with a file"),
    "compile": Command("compilation", SERVER, "compile an engine for a dataset and a policy ahead of time"),
    "serve": Command("serve", SERVER, "serve ranks over HTTP"),
    "upload": Command("upload", CLIENT, "store a policy in a server, perhaps as a step of a training run"),
    "activate": Command("activate", CLIENT, "make a policy of a server the one that ranks from now on"),
    "sleep": Command("sleep", CLIENT, "have a server free the memory of its evaluators until it is woken"),
    "wake": Command("wake", CLIENT, "have a server that sleeps take requests again"),
    "policies": Command("policies", CLIENT, "list the policies of a server"),
    "jobs": Command("jobs", CLIENT, "list the jobs of a server"),
    "runs": Command("runs", CLIENT, "list the training runs of a server, or the metrics of one by step"),
    "export": Command("export", CLIENT, "write the results of a server's job to a file"),
    "report": Command("report", CLIENT, "write the page about some jobs as a folder that opens from disk"),
    "key": Command("key", CLIENT, "make an API key"),
}


_NO_COMMAND = re.compile(r"argument COMMAND: invalid choice: '([^']*)'")


class _MainParser(argparse.ArgumentParser):
    """The parser of the command line, which offers the nearest command in place of an unknown one."""

    def error(self, message: str) -> NoReturn:
        """Prints the usage and the message, and ends with 2."""
        name = _NO_COMMAND.match(message)
        super().error(message if name is None else message + did_you_mean(nearest_names(name[1], COMMANDS)))


def _nearest_options(unknown: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """What a message says of options that a parser does not have: the nearest of each."""
    known = [option for action in parser._actions for option in action.option_strings]
    near: list[str] = []
    for text in unknown:
        if text.startswith("-"):
            near += nearest_names(text.partition("=")[0], known, most=1)
        elif "--dataset" in known and os.path.isdir(text):  # noqa: PTH112 - a path may raise for such a text
            near.append(f"--dataset {text}")
    return did_you_mean(near)


class _CommandParser(argparse.ArgumentParser):
    """The parser of one command, which loads it once it is asked for: none needs the libraries of the others."""

    unloaded_command: str | None = None

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride] - for it has overloads
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """Parses what stands behind the command.

        Raises:
            ProofrankError: a library that the command needs is not installed.
        """
        if self.unloaded_command is not None:
            name, self.unloaded_command = self.unloaded_command, None
            command = COMMANDS[name]
            with require_extra(name, command.extra):
                module = importlib.import_module(f"proofrank.service.cli.{command.module}")
            module.set_up(self)
            self.set_defaults(run=module.run)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{_nearest_options(unknown, self)}")
        return found, unknown


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it parses has the command as ``run``."""
    parser = _MainParser(
        prog="proofrank", description="Exact ranks, MRR and proofs for neural-guided knowledge-graph provers."
    )
    parser.add_argument("--version", action="version", version=f"proofrank {__version__}")
    subparsers = parser.add_subparsers(
        title="commands", required=True, metavar="COMMAND", parser_class=_CommandParser
    )
    for name, command in COMMANDS.items():
        subparsers.add_parser(name, help=command.help).unloaded_command = name
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status.

    Args:
        arguments: the command line without the program's name; that of the process by default.
    """
    _let_streams_write_any_name()
    try:
        parsed = make_parser().parse_args(arguments)
        return parsed.run(parsed)
    except ProofrankError as error:
        print(f"proofrank: {error}", file=sys.stderr)  # noqa: T201 - this is the command line
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130


def _let_streams_write_any_name() -> None:
    """Writes what an encoding such as Latin-1 lacks as an escape (``\\u2500``), where Python would raise an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
