"""Runs the tutorial: its files, commands and Python in order, in an empty folder; their output is the page's."""

from __future__ import annotations

import re
import shlex
from contextlib import ExitStack
from pathlib import Path

from tests.helpers.page_blocks import BLOCK, run_block
from tests.helpers.serving import REPOSITORY, RunningServer

PAGE = REPOSITORY / "docs" / "tutorial.md"
ADDRESS = "http://127.0.0.1:8000"
SERVE = "proofrank serve "
NUM_OUTPUTS = 7
"""Number of outputs that the page shows."""

_PROBABILITY = re.compile(r"-?\d+\.\d+")


def blocks() -> list[tuple[str, str, str]]:
    """The language and text of each block to run, with the output that the page shows for it, or none."""
    found = [(match[1], match[2]) for match in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]
    following = [*found[1:], ("", "")]
    return [
        (language, text, shown if kind == "text" else "")
        for (language, text), (kind, shown) in zip(found, following, strict=True)
        if language != "text"
    ]


def serve_arguments(command: str, folder: Path) -> list[str]:
    """The arguments of the page's server, whose folders are in ``folder``."""
    arguments = shlex.split(command.removeprefix(SERVE))
    return [part if part.startswith("--") else str(folder / part) for part in arguments]


def lines_of(output: str, *, without_numbers: bool) -> list[str]:
    """The lines, without what depends on the width of a terminal, and without fractions where they may vary."""
    text = _PROBABILITY.sub("#", output) if without_numbers else output
    return [" ".join(line.split()) for line in text.splitlines() if line.strip(" ─")]


def test_the_tutorial_prints_what_it_shows(tmp_path: Path) -> None:
    num_compared = 0
    address = ADDRESS
    with ExitStack() as servers:
        for language, text, shown in blocks():
            if text.startswith(SERVE):
                server = servers.enter_context(RunningServer(*serve_arguments(text, tmp_path)))
                address = server.wait_until_ready().url
                continue
            printed = run_block(language, text.replace(ADDRESS, address), tmp_path)
            # Probabilities come from weights that were trained here, where sums may be rounded otherwise.
            without_numbers = "--explain" in text
            expected = lines_of(shown, without_numbers=without_numbers)
            if expected:
                found = lines_of(printed, without_numbers=without_numbers)
                assert expected[0] in found, printed
                start = found.index(expected[0])
                assert found[start : start + len(expected)] == expected, printed
                num_compared += 1
    assert num_compared == NUM_OUTPUTS
