"""The examples of the page on datasets are read as it says, and its tables list what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proofrank.core.formats.rules import RULE_FORMATS
from proofrank.core.formats.warnings import KINDS
from proofrank.core.graph import load_dataset
from tests.helpers.datasets import write_dataset
from tests.helpers.serving import REPOSITORY

PAGE = (REPOSITORY / "docs" / "datasets.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"<!-- (triples|rules): (.+?) -->\n```\n(.*?)```", PAGE, re.DOTALL)
TRAIN = ("anna\tbornIn\tmunich", "munich\tlocatedIn\tgermany", "clara\tcitizenOf\tgermany")
RULE = "citizenOf(X,Y) :- bornIn(X,Z), locatedIn(Z,Y)."


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e[0] == "rules"], ids=lambda example: example[1])
def test_every_example_of_rules_is_the_same_rule(example: tuple[str, str, str], tmp_path: Path) -> None:
    _, described, text = example
    form, weight = described.split()
    write_dataset(tmp_path, TRAIN, [RULE])
    expected = load_dataset(tmp_path).rules[0]
    (tmp_path / "rules.txt").write_text(text, encoding="utf-8")
    (tmp_path / "relations.dict").write_text("0\tbornIn\n1\tcitizenOf\n2\tlocatedIn\n", encoding="utf-8")

    dataset = load_dataset(tmp_path, strict=True)

    (rule,) = dataset.rules
    assert (rule.head, rule.body, rule.weight) == (expected.head, expected.body, float(weight))
    assert [file.format for file in dataset.files if file.holds == "rules"] == [form]


def test_every_format_has_an_example() -> None:
    assert [described.split()[0] for kind, described, _ in EXAMPLES if kind == "rules"] == list(RULE_FORMATS)


@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if e[0] == "triples"], ids=lambda example: example[1]
)
def test_every_example_of_triples_is_read_as_it_says(example: tuple[str, str, str], tmp_path: Path) -> None:
    _, form, text = example
    write_dataset(tmp_path, (), ["bornIn(X,Y) :- bornIn(X,Z), locatedIn(Z,Y)."])
    (tmp_path / "train.txt").write_text(text, encoding="utf-8")

    dataset = load_dataset(tmp_path, strict=True)

    assert dataset.files[0].format == form
    assert len(dataset.splits["train"]) == 3
    assert dataset.triple("anna", "bornIn", "munich") in dataset.facts


def test_the_table_of_warnings_lists_each_kind() -> None:
    assert re.findall(r"^\| `([a-z-]+)` \|", PAGE.partition("## Warnings")[2], re.MULTILINE) == sorted(KINDS)
