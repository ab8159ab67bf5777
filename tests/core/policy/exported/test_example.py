"""The example of the page, as it stands there."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[4]


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: Any) -> None:
    page = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    section = page[page.index("## A network of one's own") :]
    network, five_lines = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(tmp_path)  # as somebody without a checkout
    printed = io.StringIO()
    names: dict[str, Any] = {"__name__": "example"}

    exec(network, names)
    with contextlib.redirect_stdout(printed):
        exec(five_lines.replace("policies/mine", str(tmp_path / "mine")), names)

    assert len([line for line in five_lines.splitlines() if line and "import" not in line]) == 5
    assert 0 < float(printed.getvalue()) <= 1
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {
        "policy.json",
        "policy.safetensors",
        "vocab.json",
    }
