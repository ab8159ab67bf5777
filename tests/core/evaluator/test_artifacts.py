"""What a compiled artifact depends on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import proofrank.core
from proofrank.core.evaluator.artifacts import _code_hash


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of ``core``, to change."""
    source = Path(next(iter(proofrank.core.__path__)))
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(source, tmp_path / "core", ignore=ignored))


@pytest.mark.parametrize(
    ("file", "shapes_a_tick"),
    [
        ("graph/fact_index.py", True),
        ("prover/environment.py", True),
        ("policy/network.py", True),
        ("evaluator/tick.py", True),
        ("ranking/metrics.py", False),
        ("formats/atoms.py", False),
        ("errors.py", False),
    ],
)
def test_artifacts_become_stale_by_the_code_that_shapes_a_tick_and_by_no_other(
    package: Path, file: str, shapes_a_tick: bool
) -> None:
    before = _code_hash(package)
    with (package / file).open("a", encoding="utf-8") as changed:
        changed.write("# a change\n")
    _code_hash.cache_clear()
    assert (_code_hash(package) != before) == shapes_a_tick
