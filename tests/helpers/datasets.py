"""Datasets of tests: the shared folder beside the repository, and small ones written line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from proofrank.core.graph import Dataset

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


DatasetMaker = Callable[..., Dataset]
"""Takes lines of ``train``, ``rules``, ``valid``, ``test`` and perhaps ``domains``; loads what they make."""


def write_dataset(
    folder: Path,
    train: Iterable[str],
    rules: Iterable[str],
    *,
    valid: Iterable[str] = (),
    test: Iterable[str] = (),
    domains: Iterable[str] | None = None,
) -> None:
    """Writes the files of a dataset, a string a line."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"train": train, "valid": valid, "test": test, "rules": rules}
    if domains is not None:
        files["domain2constants"] = domains
    for stem, lines in files.items():
        content = "".join(f"{line}\n" for line in lines)
        (folder / f"{stem}.txt").write_bytes(content.encode("utf-8"))
