"""``proofrank sample``: the numbers of ``proofrank.sample``, of one triple, a split or a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import proofrank
from proofrank.core.default import DATASET, POLICY
from proofrank.service.cli.main import main

TRIPLE = ("albania", "locatedInCR", "europe")


def test_a_triple_and_a_split_have_the_numbers_of_the_function(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dataset = proofrank.load_dataset(DATASET)
    policy = proofrank.load_policy(POLICY, dataset)
    (expected,) = proofrank.sample(dataset, policy, [TRIPLE], samples=60, seed=3, confidence=0.9)

    assert main(["sample", *TRIPLE, "--samples", "60", "--seed", "3", "--confidence", "0.9"]) == 0
    out = capsys.readouterr().out
    assert f"{expected.share:.4f}" in out
    assert f"{expected.low:.4f} to {expected.high:.4f}" in out
    assert "90 % interval" in out and "60 trajectories of each triple" in out

    written = tmp_path / "shares.json"
    options = ["--samples", "5", "--seed", "3", "--json", str(written)]
    assert main(["sample", "--split", "test", "--queries", "2", *options]) == 0
    found = json.loads(written.read_text())
    names = [(one["head"], one["relation"], one["tail"]) for one in found["triples"]]
    assert found["triples"] == [
        vars(one) for one in proofrank.sample(dataset, policy, names, samples=5, seed=3)
    ]
    assert len(set(names)) == 2 and found["policy"]["sha256"] == policy.content_hash

    triples = tmp_path / "triples.txt"
    triples.write_text("".join(f"{relation}({head},{tail}).\n" for head, relation, tail in names))
    assert main(["sample", "--file", str(triples), *options]) == 0
    assert json.loads(written.read_text()) == found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected one of HEAD RELATION TAIL, --split and --file"),
        (["albania", "locatedInCR"], "expected HEAD RELATION TAIL, got 2 names"),
        ([*TRIPLE, "--queries", "2"], "--queries cannot be given here: it is for --split"),
        ([*TRIPLE, "--samples", "1000001"], "samples is 1000001; expected a whole number from 1 to 1000000"),
        ([*TRIPLE, "--confidence", "95"], "confidence is 95.0; expected a number between 0 and 1"),
        (["albanai", *TRIPLE[1:]], "albania"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", *arguments]) == 2
    assert message in capsys.readouterr().err
