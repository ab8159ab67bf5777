"""Scores of triples by knowledge-graph embeddings, beside those of proofs; ``docs/embeddings.md`` explains them."""

from proofrank.core.embedding.embedding import Embedding, EmbeddingScorer, ScoreSource, TripleScorer
from proofrank.core.embedding.from_pykeen import save_embedding
from proofrank.core.embedding.interactions import INTERACTIONS
from proofrank.core.embedding.loading import load_embedding
from proofrank.core.embedding.score_file import ScoreFile

__all__ = [
    "INTERACTIONS",
    "Embedding",
    "EmbeddingScorer",
    "ScoreFile",
    "ScoreSource",
    "TripleScorer",
    "load_embedding",
    "save_embedding",
]
