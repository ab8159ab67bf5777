"""The evaluator: graph, prover, policy, evaluators and ranking, without anything of the web.

Data flows one way through the subpackages::

    formats -> graph -> prover -> policy -> evaluator -> ranking

``provability`` stands beside ``prover``: it says what facts and rules can prove at all, without a policy.
``embedding`` stands beside ``evaluator``: it scores triples by a knowledge-graph embedding, without a proof.

Letters used in shapes, everywhere in this package:

    B  lanes: slots that hold one candidate's trajectory each
    S  actions of a state (at most ``padding_states``)
    A  atoms of a state (at most ``padding_atoms``)
    3  an atom: (predicate index, first argument index, second argument index)
    E  embedding size
    F  facts
    Q  queries
    C  candidates of one query, the positive first
"""
