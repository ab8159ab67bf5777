"""Reads the Dockerfile."""

from __future__ import annotations

import re

from tests.helpers.serving import REPOSITORY

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")


def stage(name: str) -> str:
    """The instructions of one stage, continued lines joined."""
    found = re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, flags=re.MULTILINE | re.DOTALL)
    assert found is not None, f"no stage {name}"
    return re.sub(r"\s*\\\n\s*", " ", found[1])
