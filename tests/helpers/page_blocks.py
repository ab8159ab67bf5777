"""The code blocks of a document, and their run in a folder."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.helpers.serving import clean_environment

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
"""A fenced block: its language and its text."""


def run_block(language: str, text: str, folder: Path) -> str:
    """Returns what a block prints; it must succeed."""
    python = shlex.quote(sys.executable)
    functions = f'python() {{ {python} "$@"; }}\nproofrank() {{ {python} -m proofrank "$@"; }}\n'
    command = ["sh", "-e", "-c", functions + text] if language == "sh" else [sys.executable, "-c", text]
    # A table is as wide as the terminal allows.
    environment = clean_environment({"COLUMNS": "120"})
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, f"{text}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout
