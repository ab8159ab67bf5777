"""Vocabulary, triples, rules and the index of facts: what a proof is made from."""

from proofrank.core.choices import SPLITS
from proofrank.core.graph.dataset import Dataset, FileReading, Triple
from proofrank.core.graph.fact_index import FactIndex
from proofrank.core.graph.loading import load_dataset, load_other_graph
from proofrank.core.graph.rules import Rule
from proofrank.core.graph.vocabulary import PADDING, TERMINAL_PREDICATES, Vocabulary

__all__ = [
    "PADDING",
    "SPLITS",
    "TERMINAL_PREDICATES",
    "Dataset",
    "FactIndex",
    "FileReading",
    "Rule",
    "Triple",
    "Vocabulary",
    "load_dataset",
    "load_other_graph",
]
