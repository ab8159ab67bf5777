"""The policy network, its checkpoints, and its logits for the prover."""

from proofrank.core.policy.checkpoint import (
    Policy,
    build_network,
    load_policy,
    save_policy,
    save_untrained,
    untrained_policy,
)
from proofrank.core.policy.config import PolicyConfig
from proofrank.core.policy.in_memory import files_of, policy_of, unwrapped
from proofrank.core.policy.inductive import carried_over
from proofrank.core.policy.network import PolicyNetwork
from proofrank.core.policy.scorer import StateScorer

__all__ = [
    "Policy",
    "PolicyConfig",
    "PolicyNetwork",
    "StateScorer",
    "build_network",
    "carried_over",
    "files_of",
    "load_policy",
    "policy_of",
    "save_policy",
    "save_untrained",
    "untrained_policy",
    "unwrapped",
]
