"""Embedders with layers of their own: against torch's layers, and the same bits in any company."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from proofrank.core.policy import PolicyConfig, PolicyNetwork
from proofrank.core.policy.embeddings import StateEmbedding
from proofrank.core.policy.features import CHUNK_ROWS, ROW_MULTIPLE, RowFeatures
from proofrank.core.policy.layers import Attention, GruCell
from proofrank.core.prover.packing import pack

SIZE = 8
KINDS = [
    ("rnn", "sum"),
    ("attention", "mean"),
    ("transformer", "mean"),
    ("transe", "rnn"),
    ("sum", "transformer"),
    ("distmult", "rnn"),
    ("rnn", "transformer"),
    ("attention", "rnn"),
]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def several_threads() -> Iterator[None]:
    """More threads than one, which is what tests have otherwise."""
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


def network(atom_embedder: str, state_pooling: str, **config: int) -> PolicyNetwork:
    """A network of 5 predicates and 9 constants with random tables."""
    fields = {
        "embedding_dim": SIZE,
        "hidden_dim": 16,
        "num_layers": 1,
        "max_variables": 20,
        "padding_atoms": 4,
    }
    fields |= {"atom_embedder": atom_embedder, "state_pooling": state_pooling} | config
    made = PolicyNetwork(PolicyConfig.from_dict(fields), 5, 9).eval().requires_grad_(False)
    for table in (made.embedding.predicates, made.embedding.arguments):
        table[1:] = torch.randn(table[1:].shape)
    return made


def states(number: int, width: int = 4) -> Tensor:
    """``[number, width, 3]`` int64, states of 1 to ``width`` atoms."""
    atoms = torch.stack(
        [torch.randint(1, 6, (number, width)), *torch.randint(1, 30, (2, number, width))], dim=-1
    )
    lengths = torch.randint(1, width + 1, (number, 1))
    return atoms * (torch.arange(width) < lengths).unsqueeze(-1)


def copied_gru(cell: GruCell) -> nn.GRU:
    """torch's layer with the weights of ``cell``."""
    gru = nn.GRU(SIZE, SIZE, batch_first=True).requires_grad_(False)
    names = {"weight_ih_l0": cell.input.weight, "bias_ih_l0": cell.input.bias}
    names |= {"weight_hh_l0": cell.hidden.weight, "bias_hh_l0": cell.hidden.bias}
    gru.load_state_dict(names)
    return gru


def copied_attention(ours: Attention, num_heads: int) -> nn.MultiheadAttention:
    """torch's layer with the weights of ``ours``."""
    attention = nn.MultiheadAttention(SIZE, num_heads, batch_first=True).requires_grad_(False)
    parts = (ours.query, ours.key, ours.value)
    attention.load_state_dict(
        {
            "in_proj_weight": torch.cat([part.weight for part in parts]),
            "in_proj_bias": torch.cat([part.bias for part in parts]),
            "out_proj.weight": ours.output.weight,
            "out_proj.bias": ours.output.bias,
        }
    )
    return attention


def parts_of(embedding: StateEmbedding, atoms: Tensor) -> tuple[Tensor, Tensor]:
    """Predicates ``[..., E]`` and arguments ``[..., 2, E]`` of atoms."""
    return embedding.predicates[atoms[..., 0]], embedding.arguments[atoms[..., 1:]]


def test_sum_takes_both_arguments_off_the_predicate() -> None:
    embedding = network("sum", "sum").embedding
    predicate, arguments = parts_of(embedding, torch.tensor([2, 3, 4]))

    embedded = embedding.embed_atoms(torch.tensor([2, 3, 4]))

    assert torch.allclose(embedded, predicate - arguments[0] - arguments[1])


def test_an_atom_rnn_starts_from_the_predicate_and_reads_both_arguments() -> None:
    embedding = network("rnn", "sum").embedding
    atoms = states(5)[:, 0]
    predicate, arguments = parts_of(embedding, atoms)

    _, expected = copied_gru(embedding.atom_gru)(arguments, predicate.unsqueeze(0))

    assert torch.allclose(embedding.embed_atoms(atoms), expected[0], atol=1e-6)


@pytest.mark.parametrize(("kind", "num_heads"), [("attention", 4), ("attention", 2), ("transformer", 1)])
def test_the_predicate_attends_to_both_arguments(kind: str, num_heads: int) -> None:
    embedding = network(kind, "mean", attention_heads=num_heads).embedding
    atoms = states(5)[:, 0]
    predicate, arguments = parts_of(embedding, atoms)

    expected, _ = copied_attention(embedding.atom_attention, num_heads)(
        predicate.unsqueeze(1), arguments, arguments
    )

    assert torch.allclose(embedding.embed_atoms(atoms), expected[:, 0], atol=1e-6)


def test_a_state_rnn_reads_empty_places_up_to_padding_atoms() -> None:
    embedding = network("transe", "rnn").embedding
    atoms = torch.zeros(1, 4, SIZE)
    state = torch.tensor([[1, 2, 3], [2, 3, 4]])
    atoms[0, :2] = embedding.embed_atoms(state)

    _, expected = copied_gru(embedding.state_gru)(atoms)

    # The state is given with two places, and padded to four.
    assert torch.allclose(embedding(state), expected[0, 0], atol=1e-6)


def test_a_learned_query_attends_to_empty_places_up_to_padding_atoms() -> None:
    embedding = network("sum", "transformer").embedding
    atoms = torch.zeros(1, 4, SIZE)
    state = torch.tensor([[1, 2, 3], [2, 3, 4]])
    atoms[0, :2] = embedding.embed_atoms(state)

    expected, _ = copied_attention(embedding.state_attention, 1)(
        embedding.state_query.unsqueeze(0), atoms, atoms
    )

    assert torch.allclose(embedding(state), expected[0, 0], atol=1e-6)


def test_empty_places_have_a_value_where_the_atom_formula_has_layers() -> None:
    embedding = network("rnn", "mean").embedding
    state = torch.tensor([[1, 2, 3]])
    empty = embedding.embed_atoms(torch.zeros(3, dtype=torch.int64))

    assert bool(empty.any())
    assert torch.allclose(embedding(state), (embedding.embed_atoms(state[0]) + 3 * empty) / 4, atol=1e-6)


@pytest.mark.parametrize(("atom_embedder", "state_pooling"), KINDS)
def test_more_places_than_padding_atoms_change_nothing_where_they_are_empty(
    atom_embedder: str, state_pooling: str
) -> None:
    embedding = network(atom_embedder, state_pooling).embedding
    narrow = states(50)
    wide = torch.cat([narrow, torch.zeros(50, 3, 3, dtype=torch.int64)], dim=1)
    longer = wide.clone()
    longer[:, 4] = torch.tensor([1, 2, 3])

    assert torch.allclose(embedding(narrow), embedding(wide), atol=1e-6)
    assert not torch.allclose(embedding(narrow), embedding(longer), atol=1e-3)


@pytest.mark.parametrize(("atom_embedder", "state_pooling"), [("transe", "sum"), ("sum", "mean"), *KINDS])
def test_packed_states_have_the_vectors_of_the_network(atom_embedder: str, state_pooling: str) -> None:
    made = network(atom_embedder, state_pooling)
    given = states(ROW_MULTIPLE)

    assert torch.allclose(RowFeatures(made)(pack(*given.unbind(-1))), made.features(given), atol=1e-5)


@pytest.mark.parametrize("size", [8, 100, 252])
@pytest.mark.parametrize(("atom_embedder", "state_pooling"), KINDS)
def test_a_state_has_the_same_bits_in_any_company(
    atom_embedder: str, state_pooling: str, size: int, several_threads: None
) -> None:
    features = RowFeatures(network(atom_embedder, state_pooling, embedding_dim=size))
    packed = pack(*states(3 * CHUNK_ROWS + ROW_MULTIPLE).unbind(-1))

    whole = features(packed)

    assert features.is_row_invariant
    turned = features(packed.roll(77, dims=0)).roll(-77, dims=0)
    assert torch.equal(whole, turned)
    for number in (ROW_MULTIPLE, 5 * ROW_MULTIPLE, CHUNK_ROWS + ROW_MULTIPLE):
        assert torch.equal(features(packed[:number]), whole[:number])


def test_another_policy_is_loaded_into_every_layer() -> None:
    first, second = network("attention", "rnn"), network("attention", "rnn")
    packed = pack(*states(ROW_MULTIPLE).unbind(-1))
    features = RowFeatures(first)
    before = features(packed)

    features.load(second)

    assert not torch.equal(features(packed), before)
    assert torch.equal(features(packed), RowFeatures(second)(packed))


def test_the_products_of_an_embedding_are_counted() -> None:
    # Four places; each atom two products of 3 x 8 by 8 for two arguments.
    plain = RowFeatures(network("transe", "sum")).flops_per_state()
    with_rnn = RowFeatures(network("rnn", "sum")).flops_per_state()
    with_attention = RowFeatures(network("transe", "transformer")).flops_per_state()

    assert with_rnn - plain == 4 * 2 * 2 * 2 * (3 * SIZE * SIZE)
    # One query and one output; key and value of four places.
    assert with_attention - plain == 2 * (2 + 2 * 4) * SIZE * SIZE


def test_bfloat16_leaves_the_embedding_in_float32() -> None:
    made = network("rnn", "transformer")
    packed = pack(*states(ROW_MULTIPLE).unbind(-1))

    embedded = RowFeatures(made, "bfloat16").embed(packed)

    assert torch.equal(embedded, RowFeatures(made).embed(packed))
