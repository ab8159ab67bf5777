"""The candidates of evaluation protocols: all entities, those seen with a relation, fixed negatives, and the draws of
the public DeepProofLog code.
"""

from proofrank.core.protocols.corruptors import (
    check_protocol_of_one,
    check_tolerance_of,
    corruptor_of,
    draws_of,
    file_of_candidates,
    protocol_fields,
)
from proofrank.core.protocols.deepprooflog import QUERIES_AT_ONCE, DeepProofLogDraws
from proofrank.core.protocols.fixed import FixedNegatives, read_negatives
from proofrank.core.protocols.pools import AllEntities, CandidatesByRelation, read_candidates

__all__ = [
    "QUERIES_AT_ONCE",
    "AllEntities",
    "CandidatesByRelation",
    "DeepProofLogDraws",
    "FixedNegatives",
    "check_protocol_of_one",
    "check_tolerance_of",
    "corruptor_of",
    "draws_of",
    "file_of_candidates",
    "protocol_fields",
    "read_candidates",
    "read_negatives",
]
