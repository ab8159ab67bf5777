"""Stored policies: content-addressed folders, names for them in the database, and which of them is live.

What a client uploads is received into a folder of its own (``upload``), loaded and checked, and only then moved to
where its content's hash says (``files``); its name is a row of the database (``records``), written with the move
(``store``). ``registry`` is what the routes and jobs use; ``start`` finds the policy that is live when the server
starts.
"""

from proofrank.service.policies.policy_at_start import policy_at_start
from proofrank.service.policies.registry import PolicyRegistry
from proofrank.service.policies.store import PolicyStore

__all__ = ["PolicyRegistry", "PolicyStore", "policy_at_start"]
