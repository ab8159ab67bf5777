"""Stored policies: folders named by the hash of their content, with names in the database, one of them live.

An upload is received into a folder of its own (``multipart_upload``), loaded and checked. It is then moved to the
folder named by its content's hash (``policy_files``); its name is a row of the database (``records``), written together
with the move (``store``). Routes and jobs use ``registry``; ``policy_at_start`` finds the policy that is live when the
server starts.
"""

from proofrank.service.policies.policy_at_start import PolicyAtStart
from proofrank.service.policies.registry import PolicyRegistry
from proofrank.service.policies.store import PolicyStore

__all__ = ["PolicyAtStart", "PolicyRegistry", "PolicyStore"]
