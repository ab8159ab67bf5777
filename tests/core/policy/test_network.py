"""The network's formulas, computed by hand on vectors of two numbers."""

from __future__ import annotations

import math

import pytest
import torch

from proofrank.core.errors import EvaluationError, PolicyError
from proofrank.core.policy import PolicyConfig, PolicyNetwork, StateScorer
from proofrank.core.policy.embeddings import StateEmbedding
from proofrank.core.policy.network import ResidualBlock

# Two predicates p, q; two constants a, b; one variable V.
P, Q = 1, 2
A, B, V = 1, 2, 3
PREDICATES = {P: [1.0, 2.0], Q: [0.5, -1.0]}
ARGUMENTS = {A: [3.0, 1.0], B: [1.0, 4.0], V: [7.0, -3.0]}


def embedding(**config: object) -> StateEmbedding:
    made = StateEmbedding(PolicyConfig.from_dict({"embedding_dim": 2, "max_variables": 1, **config}), 2, 2)
    with torch.no_grad():
        for index, row in PREDICATES.items():
            made.predicates[index] = torch.tensor(row)
        for index, row in ARGUMENTS.items():
            made.arguments[index] = torch.tensor(row)
    return made.requires_grad_(False)


def plain_network(**config: object) -> PolicyNetwork:
    """Makes a network whose body and head keep the order of two positive numbers and are simple to follow.

    Body: identity, ReLU, then a layer norm with weight 0 and bias (1, 2): every state has the features (1, 2). Head:
    identity twice, so every state's vector is also (1, 2), unless a test changes it.
    """
    fields = {"embedding_dim": 2, "hidden_dim": 2, "num_layers": 0, "max_variables": 1, **config}
    network = PolicyNetwork(PolicyConfig.from_dict(fields), 2, 2).eval().requires_grad_(False)
    network.embedding.load_state_dict(embedding().state_dict())
    for layer in (network.body_input, network.head_hidden, network.head_output):
        layer.weight.copy_(torch.eye(2))
        layer.bias.zero_()
    network.body_norm.weight.zero_()
    network.body_norm.bias.copy_(torch.tensor([1.0, 2.0]))
    return network


def test_transe_adds_the_first_argument_and_takes_off_the_second() -> None:
    embedded = embedding(atom_embedder="transe").embed_atoms(torch.tensor([P, A, B]))

    assert embedded.tolist() == [1.0 + 3.0 - 1.0, 2.0 + 1.0 - 4.0]


def test_distmult_multiplies_all_three() -> None:
    embedded = embedding(atom_embedder="distmult").embed_atoms(torch.tensor([P, A, B]))

    assert embedded.tolist() == [1.0 * 3.0 * 1.0, 2.0 * 1.0 * 4.0]


def test_sum_pooling_adds_atoms_and_padding_adds_nothing() -> None:
    state = torch.tensor([[P, A, B], [Q, B, A], [0, 0, 0]])

    pooled = embedding(state_pooling="sum")(state)

    # p + a - b + q + b - a
    assert pooled.tolist() == [1.5, 1.0]


def test_mean_pooling_divides_by_the_places_and_not_by_the_atoms() -> None:
    state = torch.tensor([[P, A, B], [Q, B, A], [0, 0, 0]])

    pooled = embedding(state_pooling="mean", padding_atoms=4)(state)

    assert pooled.tolist() == [1.5 / 4, 1.0 / 4]


def test_the_variable_that_links_two_atoms_cancels_under_transe() -> None:
    by_variable = embedding()(torch.tensor([[P, A, V], [Q, V, B]]))
    by_constant = embedding()(torch.tensor([[P, A, A], [Q, A, B]]))

    assert by_variable.tolist() == by_constant.tolist()


def test_terminal_states_are_embedded_by_their_predicate_alone() -> None:
    made = embedding()
    made.predicates[3] = torch.tensor([9.0, 8.0])  # True comes after the predicates

    assert made(torch.tensor([[3, 0, 0]])).tolist() == [9.0, 8.0]


def test_a_residual_block_adds_the_norm_of_the_rectified_linear_layer() -> None:
    block = ResidualBlock(2, eps=1e-5).requires_grad_(False)
    block.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
    block.linear.bias.copy_(torch.tensor([1.0, 0.0]))
    block.norm.weight.copy_(torch.tensor([2.0, 2.0]))
    block.norm.bias.copy_(torch.tensor([0.0, 1.0]))

    features = block(torch.tensor([3.0, 5.0]))

    # Linear (4, -5), ReLU (4, 0), normed to nearly (1, -1), times 2, plus (0, 1), plus the input.
    exact = 2.0 / math.sqrt(4.0 + 1e-5)
    assert features.tolist() == pytest.approx([3.0 + 2 * exact, 5.0 - 2 * exact + 1.0])


def test_features_go_through_body_and_head_in_order() -> None:
    network = plain_network()
    network.body_norm.weight.fill_(1.0)
    network.head_hidden.bias.copy_(torch.tensor([0.0, -4.0]))
    network.head_output.bias.copy_(torch.tensor([0.25, 0.5]))

    vectors = network.features(torch.tensor([[[P, A, B]]]))

    # State (3, -1), ReLU (3, 0), normed to (1, -1), plus (1, 2): (2, 1). Head: (2, -3), ReLU (2, 0), plus bias.
    exact = 1.5 / math.sqrt(2.25 + 1e-5)
    assert vectors[0].tolist() == pytest.approx([1.0 + exact + 0.25, 0.5])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"sqrt_scale": False}, 5.0),
        ({"sqrt_scale": True}, 5.0 / math.sqrt(2.0)),
        ({"sqrt_scale": False, "temperature": 0.5}, 10.0),
        ({"sqrt_scale": True, "temperature": 4.0}, 5.0 / math.sqrt(2.0) / 4.0),
        ({"sqrt_scale": False, "l2_norm": True}, 1.0),
        ({"sqrt_scale": True, "l2_norm": True, "temperature": 0.1}, 10.0 / math.sqrt(2.0)),
    ],
)
def test_a_logit_is_the_scaled_dot_product_of_the_two_vectors(
    config: dict[str, object], expected: float
) -> None:
    network = plain_network(**config)

    logits = network(torch.tensor([[P, A, B]]), torch.tensor([[[Q, A, B]], [[P, B, A]]]))

    # Both vectors are (1, 2), whose product is 5.
    assert logits.tolist() == pytest.approx([expected, expected])


def test_logits_tell_actions_apart_by_their_own_vectors() -> None:
    network = plain_network(sqrt_scale=False)
    network.body_norm.bias.zero_()
    network.body_norm.weight.fill_(1.0)
    network.head_hidden.bias.copy_(torch.tensor([2.0, 2.0]))

    # States (3, -1) and (-0.5, 4) rectify to (3, 0) and (0, 4), which are normed to (1, -1) and (-1, 1).
    state, other = [P, A, B], [P, B, A]
    network.embedding.predicates[P] = torch.tensor([0.0, 0.0])
    logits = network(torch.tensor([state]), torch.tensor([[state], [other]]))

    # With 2 added: (3, 1) and (1, 3).
    assert logits.tolist() == pytest.approx([10.0, 6.0], abs=1e-3)


def test_a_scorer_gives_the_networks_logits_for_states_of_any_length() -> None:
    torch.manual_seed(0)
    network = PolicyNetwork(PolicyConfig(embedding_dim=4, hidden_dim=8, num_layers=2, max_variables=1), 2, 2)
    torch.nn.init.normal_(network.embedding.predicates[1:])
    torch.nn.init.normal_(network.embedding.arguments[1:])

    short, long = ((P, A, B),), ((Q, A, V), (Q, V, B), (P, A, A))
    together = StateScorer(network)(short, [long, short])
    alone = [StateScorer(network)(short, [action])[0] for action in (long, short)]

    padded = torch.tensor([[P, A, B], [0, 0, 0], [0, 0, 0]])
    expected = network(padded, torch.stack([torch.tensor(long), padded])).tolist()
    assert together == pytest.approx(expected, abs=1e-6)
    assert alone == pytest.approx(expected, abs=1e-6)


def test_a_variable_without_an_embedding_is_refused() -> None:
    with pytest.raises(EvaluationError, match="variable 4 has no embedding"):
        StateScorer(plain_network())(((P, A, B),), [((P, A, V + 1),)])


def test_a_logit_that_is_not_finite_is_refused() -> None:
    network = plain_network()
    network.head_output.weight.fill_(3e38)

    with pytest.raises(EvaluationError, match="not finite"):
        StateScorer(network)(((P, A, B),), [((P, A, B),)])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"embeding_dim": 3}, "unknown policy config 'embeding_dim'; did you mean 'embedding_dim'"),
        ({"embedding_dim": 0}, "embedding_dim is 0; expected a whole number from 1"),
        ({"hidden_dim": 2.5}, "hidden_dim is 2.5; expected a whole number"),
        ({"num_layers": -1}, "num_layers is -1; expected a whole number from 0"),
        ({"num_layers": True}, "num_layers is True; expected a whole number"),
        (
            {"atom_embedder": "rotate"},
            "atom_embedder is 'rotate'; expected one of transe, distmult, sum, rnn, transformer, attention",
        ),
        ({"state_pooling": "max"}, "state_pooling is 'max'; expected one of sum, mean, rnn, transformer"),
        ({"activation": "gelu"}, "activation is 'gelu'; expected one of relu"),
        (
            {"atom_embedder": "attention", "embedding_dim": 6},
            "attention_heads is 4; expected a divisor of embedding_dim 6",
        ),
        ({"layer_norm_eps": 0.0}, "layer_norm_eps is 0.0; expected a number above 0"),
        ({"temperature": math.nan}, "temperature is nan; expected a number above 0"),
        ({"temperature": 10**400}, "; expected a number above 0"),
        ({"temperature": "hot"}, "temperature is 'hot'; expected a number above 0"),
        ({"l2_norm": 1}, "l2_norm is 1; expected true or false"),
        ({"sqrt_scale": "no"}, "sqrt_scale is 'no'; expected true or false"),
    ],
)
def test_a_bad_config_is_refused_by_name(values: dict[str, object], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        PolicyConfig.from_dict(values)
