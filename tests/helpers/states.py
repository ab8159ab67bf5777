"""States as text and back."""

from __future__ import annotations

from proofrank.core.graph import Dataset
from proofrank.core.prover import State


def show(state: State, dataset: Dataset) -> str:
    """A state as text, such as ``p(a,V0) q(V0,b)``; ``V0`` is the first run-time variable."""
    vocabulary = dataset.vocabulary

    def argument(index: int) -> str:
        is_constant = index < vocabulary.first_variable_index
        return (
            vocabulary.argument_name(index) if is_constant else f"V{index - vocabulary.first_variable_index}"
        )

    return " ".join(
        f"{vocabulary.predicate_name(predicate)}({argument(first)},{argument(second)})"
        if predicate < vocabulary.true_index
        else vocabulary.predicate_name(predicate)
        for predicate, first, second in state
    )


def read_state(text: str, dataset: Dataset) -> State:
    """What :func:`show` writes, back as a state."""
    vocabulary = dataset.vocabulary

    def argument(name: str) -> int:
        is_constant = vocabulary.has_constant(name)
        return (
            vocabulary.constant_index(name)
            if is_constant
            else vocabulary.first_variable_index + int(name[1:])
        )

    atoms = []
    for written in text.split():
        predicate, _, arguments = written.removesuffix(")").partition("(")
        first, second = arguments.split(",")
        atoms.append((vocabulary.predicate_index(predicate), argument(first), argument(second)))
    return tuple(atoms)
