"""The proof step: the readable prover that defines it, and its vectorised form."""

from proofrank.core.prover.candidate_queue import CandidateQueue
from proofrank.core.prover.choice import Choice, first_of_the_best, recorded, sampled
from proofrank.core.prover.columns import Candidates, Outcomes, OutcomeTable
from proofrank.core.prover.outcome import Atom, Candidate, Outcome, ProofStep, State
from proofrank.core.prover.reference import Actions, ReferenceProver, Resolvent, Scorer
from proofrank.core.prover.settings import FAILURE_PENALTY, TIE_TOLERANCE, ProverSettings

__all__ = [
    "FAILURE_PENALTY",
    "TIE_TOLERANCE",
    "Actions",
    "Atom",
    "Candidate",
    "CandidateQueue",
    "Candidates",
    "Choice",
    "Outcome",
    "OutcomeTable",
    "Outcomes",
    "ProofStep",
    "ProverSettings",
    "ReferenceProver",
    "Resolvent",
    "Scorer",
    "State",
    "first_of_the_best",
    "recorded",
    "sampled",
]
