"""The policy network, its checkpoints, and its logits for the prover."""

from core.policy.checkpoint import Policy, build_network, load_policy, save_policy
from core.policy.config import PolicyConfig
from core.policy.network import PolicyNetwork
from core.policy.scorer import StateScorer

__all__ = [
    "Policy",
    "PolicyConfig",
    "PolicyNetwork",
    "StateScorer",
    "build_network",
    "load_policy",
    "save_policy",
]
