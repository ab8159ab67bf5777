"""From the served graph to what clients see of it: counts, rules as text, names, and the use of rules in proofs."""

from __future__ import annotations

import itertools
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from proofrank.core.evaluator import ReferenceEvaluator, explain
from proofrank.core.evaluator.explanation import ProofNode
from proofrank.core.graph import Dataset, Rule
from proofrank.core.prover import Candidate
from proofrank.core.ranking import RankedQuery
from proofrank.service import wire
from proofrank.service.ranking.to_response import identity_of

_VARIABLES = "XYZ" + "".join(reversed(string.ascii_uppercase[:-3]))


def rule_text(rule: Rule, dataset: Dataset) -> str:
    """A rule as ``head :- body``; its variables are ``X``, ``Y``, ``Z`` and so on."""
    vocabulary = dataset.vocabulary

    def argument(index: int) -> str:
        if index > 0:
            return vocabulary.argument_name(index)
        number = -index - 1
        return _VARIABLES[number] if number < len(_VARIABLES) else f"V{number}"

    def atom(of: tuple[int, int, int]) -> str:
        predicate, first, second = of
        return f"{vocabulary.predicate_name(predicate)}({argument(first)}, {argument(second)})"

    return f"{atom(rule.head)} :- {', '.join(map(atom, rule.body))}"


def to_graph(dataset: Dataset, offset: int, limit: int) -> wire.GraphSummary:
    """The counts of a graph, and ``limit`` of its rules from ``offset``."""
    counts = {split: Counter(triple.predicate for triple in found) for split, found in dataset.splits.items()}
    facts = Counter(triple.predicate for triple in dataset.fact_triples)
    rules = Counter(rule.head[0] for rule in dataset.rules)
    return wire.GraphSummary(
        dataset=identity_of(dataset),
        constants=dataset.vocabulary.num_constants,
        facts=len(dataset.fact_triples),
        relations=tuple(
            wire.RelationCounts(
                name=name,
                train=counts["train"][index],
                valid=counts["valid"][index],
                test=counts["test"][index],
                facts=facts[index],
                rules=rules[index],
            )
            for index, name in enumerate(dataset.vocabulary.predicates, start=1)
        ),
        num_rules=len(dataset.rules),
        rules=tuple(
            wire.ListedRule(rule.name, rule.weight, rule_text(rule, dataset))
            for rule in dataset.rules[offset : offset + limit]
        ),
    )


def to_names(dataset: Dataset, kind: wire.NameKind, text: str, limit: int) -> wire.NameList:
    """At most ``limit`` names that begin with ``text``, then those that hold it, whatever the case of letters."""
    names = dataset.vocabulary.constants if kind == "constant" else dataset.vocabulary.predicates
    wanted = text.casefold()
    found = list(itertools.islice((name for name in names if name.casefold().startswith(wanted)), limit))
    known = set(found)
    if len(found) < limit:
        others = (name for name in names if name not in known and wanted in name.casefold())
        found += itertools.islice(others, limit - len(found))
    return wire.NameList(tuple(found))


def to_rule_usage(
    ranked: Sequence[RankedQuery], reference: ReferenceEvaluator, dataset: Dataset, num_proved: int
) -> wire.RuleUsage:
    """How often the proofs of ranked queries used each rule.

    Args:
        ranked: queries with the outcomes of their positives.
        reference: walks the proofs; it shares no state.
        dataset: the graph.
        num_proved: number of proved triples that the queries were chosen from.

    Raises:
        EvaluationError: a candidate cannot be evaluated exactly.
    """
    name_of = {rule.describe(): rule.name for rule in dataset.rules}
    proofs: Counter[str] = Counter()
    uses: Counter[str] = Counter()
    num_proofs = 0
    for query in ranked:
        if not query.outcomes[0].success:
            continue
        num_proofs += 1
        positive = Candidate(query.query, is_positive=True)
        explanation = explain(reference.prover, reference.scorer, positive, query.outcomes[0].actions)
        used = Counter(name_of[node.how] for node in _nodes([explanation.root]) if node.how in name_of)
        uses.update(used)
        proofs.update(used.keys())
    return wire.RuleUsage(
        proved=num_proved,
        proofs=num_proofs,
        rules=tuple(wire.RuleUse(name, proofs[name], number) for name, number in uses.most_common()),
    )


def _nodes(nodes: Iterable[ProofNode]) -> Iterator[ProofNode]:
    for node in nodes:
        yield node
        yield from _nodes(node.children)
