"""Vocabulary, triples, rules and the index of facts: what a proof is made from."""

from core.graph.dataset import SPLITS, Dataset, Triple, load_dataset
from core.graph.fact_index import FactIndex
from core.graph.rules import Rule
from core.graph.vocabulary import PADDING, TERMINAL_PREDICATES, Vocabulary

__all__ = [
    "PADDING",
    "SPLITS",
    "TERMINAL_PREDICATES",
    "Dataset",
    "FactIndex",
    "Rule",
    "Triple",
    "Vocabulary",
    "load_dataset",
]
