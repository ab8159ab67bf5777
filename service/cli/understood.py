"""What a dataset's files amount to: its relations, and which test triples a rule can prove at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from proofrank.core.formats.depths import depths_file
from proofrank.core.formats.rules.learned import RelationIds
from proofrank.core.graph import Dataset, Rule, Triple
from proofrank.core.near_paths import entries


class RelationCounts(NamedTuple):
    """How often a relation occurs: in facts, as the head of rules, and in triples of each split that is ranked."""

    facts: int
    rules: int
    valid: int
    test: int


@dataclass(frozen=True)
class Understood:
    """What a dataset's files amount to.

    Attributes:
        relations: relation -> its counts, in order of the names.
        num_with_rule: test triples that the head of a rule matches.
        num_with_new_constant: test triples with a constant that no fact has.
        not_read: names of the files in the dataset's folder that no reader of datasets takes, in their order.
    """

    relations: dict[str, RelationCounts]
    num_with_rule: int
    num_with_new_constant: int
    not_read: list[str]

    @property
    def without_rules(self) -> list[str]:
        """The relations that no rule concludes."""
        return [name for name, counts in self.relations.items() if not counts.rules]


def understand(dataset: Dataset) -> Understood:
    """Counts relations, and test triples by what can prove them; lists the files that are not read."""
    facts = Counter(triple.predicate for triple in dataset.fact_triples)
    valid, test = (
        Counter(triple.predicate for triple in dataset.splits[split]) for split in ("valid", "test")
    )
    relations = {
        name: RelationCounts(
            facts[index], len(dataset.rules_by_predicate.get(index, ())), valid[index], test[index]
        )
        for index, name in enumerate(dataset.vocabulary.predicates, start=1)
    }
    constants_of_facts = {constant for triple in dataset.fact_triples for constant in triple[1:]}
    return Understood(
        relations,
        sum(matches_a_rule(triple, dataset) for triple in dataset.splits["test"]),
        sum(not constants_of_facts.issuperset(triple[1:]) for triple in dataset.splits["test"]),
        _files_not_read(dataset),
    )


def matches_a_rule(triple: Triple, dataset: Dataset) -> bool:
    """Whether the head of a rule matches a triple; one that none matches can never be proved."""
    return any(_matches(rule, triple) for rule in dataset.rules_by_predicate.get(triple.predicate, ()))


def _files_not_read(dataset: Dataset) -> list[str]:
    folder = dataset.files[0].path.parent
    read = {file.path.name for file in dataset.files}
    read |= {depths_file(folder, split).name for split in dataset.splits}
    read |= {name + end for name in RelationIds.FILES for end in ("", ".gz")} if _has_ids(dataset) else set()
    return [name for name in entries(folder) if name not in read and (folder / name).is_file()]


def _has_ids(dataset: Dataset) -> bool:
    return any(file.holds == "rules" and file.format == "rnnlogic" for file in dataset.files)


def _matches(rule: Rule, triple: Triple) -> bool:
    """Whether the head of a rule of the triple's relation can be that triple."""
    _, first, second = rule.head
    if first < 0 and first == second:
        return triple.head == triple.tail
    return (first < 0 or first == triple.head) and (second < 0 or second == triple.tail)
