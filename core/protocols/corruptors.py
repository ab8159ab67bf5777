"""From the rules of a protocol to what draws its corruptions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proofrank.core.choices import SIDES, Side
from proofrank.core.errors import RankingError
from proofrank.core.graph import Dataset, Triple
from proofrank.core.protocol_rules import CANDIDATE_SOURCES, RankingRules
from proofrank.core.protocols.deepprooflog import DeepProofLogDraws
from proofrank.core.protocols.fixed import FixedNegatives, read_negatives
from proofrank.core.protocols.pools import AllEntities, CandidatesByRelation, read_candidates
from proofrank.core.ranking import Corruptor


def corruptor_of(
    rules: RankingRules,
    dataset: Dataset,
    seed: int,
    triples: Sequence[Triple],
    sides: Sequence[tuple[Side, ...]],
    negatives: Path | None = None,
) -> Corruptor:
    """What draws, or reads, the corruptions of an evaluation.

    Args:
        rules: how; ``candidates_from`` may be the path of a file of candidates by relation.
        dataset: constants, domains and known triples.
        seed: seed of the draws.
        triples: triples to rank, in order.
        sides: sides of each.
        negatives: file of fixed negatives, for the protocols that need one.

    Raises:
        RankingError: an option is wrong, or a file is missing or given to a protocol that has none.
        DatasetError: a file is not as expected; with the line.
    """
    _check_negatives(rules, negatives)
    if rules.protocol == "ogb" and any(own != SIDES for own in sides):
        raise RankingError("protocol 'ogb' ranks heads and tails; expected side 'both'")
    if negatives is not None:
        return read_negatives(negatives, dataset, seed, same_number=rules.protocol == "ogb")
    return draws_of(rules, dataset, seed, triples, sides)


def draws_of(
    rules: RankingRules,
    dataset: Dataset,
    seed: int,
    triples: Sequence[Triple],
    sides: Sequence[tuple[Side, ...]],
) -> Corruptor:
    """What draws the corruptions of an evaluation without a file of negatives; as :func:`corruptor_of`."""
    number = None if rules.corruptions == "all" else rules.corruptions
    if rules.is_deepprooflog:
        if len(set(sides)) > 1:
            raise RankingError(f"protocol {rules.protocol!r} ranks all queries on the same sides")
        own = next(iter(sides), SIDES)
        return DeepProofLogDraws(dataset, number, seed=seed, triples=tuple(triples), sides=own)
    options = (dataset, number, rules.filtered, seed)
    file = file_of_candidates(rules.candidates_from)
    if file is not None:
        pools, sha256 = read_candidates(file, dataset)
        return CandidatesByRelation(*options, pools=pools, source=str(file), sha256=sha256)
    if rules.candidates_from == "relations":
        return CandidatesByRelation(*options, pools=dataset.seen_with_relations)
    return AllEntities(*options) if rules.candidates_from == "entities" else Corruptor(*options)


def file_of_candidates(candidates_from: str) -> Path | None:
    """The file that candidates by relation come from; None for one of ``CANDIDATE_SOURCES``."""
    return None if candidates_from in CANDIDATE_SOURCES else Path(candidates_from)


def protocol_fields(rules: RankingRules, corruptor: Corruptor) -> dict[str, Any]:
    """What :class:`proofrank.core.comparison.Protocol` says of ``rules``, files by their hashes."""
    candidates_from = rules.candidates_from
    if isinstance(corruptor, CandidatesByRelation) and corruptor.sha256 is not None:
        candidates_from = f"sha256:{corruptor.sha256}"
    return {
        "corruptions": rules.corruptions,
        "filtered": rules.filtered,
        "ties": rules.ties,
        "name": rules.protocol,
        "candidates_from": candidates_from,
        "negatives": corruptor.sha256 if isinstance(corruptor, FixedNegatives) else None,
    }


def check_tolerance_of(rules: RankingRules) -> None:
    """Refuses an MRR to a tolerance under a protocol whose ties need all scores. Raises RankingError."""
    if rules.is_deepprooflog:
        raise RankingError(
            f"protocol {rules.protocol!r} orders equal scores by drawn keys, which needs exact ranks; leave out "
            "the tolerance of the MRR"
        )


def check_protocol_of_one(rules: RankingRules) -> None:
    """Refuses a protocol by which a query's candidates cannot be told from the query alone. Raises RankingError."""
    if rules.is_deepprooflog:
        raise RankingError(
            f"by protocol {rules.protocol!r} the candidates of a query depend on its place in an evaluation, which a "
            "triple alone does not have"
        )


def _check_negatives(rules: RankingRules, negatives: Path | None) -> None:
    """Refuses a missing file of negatives, and one that has no part in the protocol. Raises RankingError."""
    if rules.has_fixed_negatives and negatives is None:
        raise RankingError(f"protocol {rules.protocol!r} needs a file of fixed negatives")
    if negatives is not None and not rules.has_fixed_negatives:
        raise RankingError(
            "a file of fixed negatives is for the protocols 'ogb' and 'fixed-negatives'; name one of them"
        )
