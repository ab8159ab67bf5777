"""The examples of the page on datasets are read as it says, and its tables list what there is."""

from __future__ import annotations

import re
from collections.abc import Callable
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


TRIPLES = {
    "train": [("anna, the elder", "bornIn", "munich"), ("munich", "locatedIn", "germany")],
    "valid": [("munich", "locatedIn", "germany")],
    "test": [("anna, the elder", "citizenOf", "germany")],
}


def write_csv(folder: Path) -> None:
    for split, triples in TRIPLES.items():
        lines = ["head,relation,tail", *(f'"{head}",{relation},{tail}' for head, relation, tail in triples)]
        (folder / f"{split}.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8-sig", newline="")


def write_openke(folder: Path) -> None:
    every = [triple for triples in TRIPLES.values() for triple in triples]
    entities = sorted({name for head, _, tail in every for name in (head, tail)})
    relations = sorted({relation for _, relation, _ in every})
    for name, names in (("entity", entities), ("relation", relations)):
        lines = [str(len(names)), *(f"{name}\t{number}" for number, name in enumerate(names))]
        (folder / f"{name}2id.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for split, triples in TRIPLES.items():
        ids = [f"{entities.index(h)} {entities.index(t)} {relations.index(r)}" for h, r, t in triples]
        (folder / f"{split}2id.txt").write_text("\n".join([str(len(ids)), *ids]) + "\n", encoding="utf-8")


@pytest.mark.parametrize(("form", "write"), [("csv", write_csv), ("openke", write_openke)])
def test_the_converters_of_the_page_give_the_triples_of_the_other_form(
    form: str, write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (converter,) = re.findall(rf"<!-- converter: {form} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    for folder in ("mine", "towns"):
        (tmp_path / folder).mkdir()
    write(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)

    exec(converter, {})

    (tmp_path / "towns" / "rules.txt").write_text(RULE, encoding="utf-8")
    dataset = load_dataset("towns")
    assert {split: [*map(dataset.names, triples)] for split, triples in dataset.splits.items()} == TRIPLES


def test_the_table_of_warnings_lists_each_kind() -> None:
    assert re.findall(r"^\| `([a-z-]+)` \|", PAGE.partition("## Warnings")[2], re.MULTILINE) == sorted(KINDS)
