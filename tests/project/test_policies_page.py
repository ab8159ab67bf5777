"""Runs the examples of the page on policies for the built-in network, in order, in an empty folder."""

from __future__ import annotations

from pathlib import Path

from proofrank.core.default import DATASET
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from tests.helpers.page_blocks import BLOCK, run_block
from tests.helpers.serving import REPOSITORY


def test_the_examples_of_the_page_run_and_give_one_policy_under_both_names(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "policies.md").read_text(encoding="utf-8")
    page = page.split("\n## Checkpoints of the public DeepProofLog code\n")[0]
    printed = {
        match[1]: run_block(match[1], match[2], tmp_path)
        for match in BLOCK.finditer(page)
        if match[1] in ("python", "sh")
    }
    assert printed["python"] == "my-policy fits\n"
    assert "policy hub (" in printed["sh"]
    dataset = load_dataset(DATASET)
    ours, hub = (load_policy(tmp_path / name, dataset) for name in ("my-policy", "hub"))
    assert ours.content_hash == hub.content_hash
