"""The countries with Stable-Baselines3: PPO learns to prove, and the valid triples are ranked every so many steps.

    python -m examples.validation_sb3 --out run

An episode is the proof of a train triple; its reward is 1 if it is proved. PPO's own logger writes ``progress.csv``;
the best policy is in ``best``. Rewards are rare, so the network first learns the choices of a search for an epoch.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gymnasium  # pyright: ignore[reportMissingImports]
import numpy as np
import torch
from stable_baselines3 import PPO  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.logger import configure  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.policies import ActorCriticPolicy  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn

import proofrank
from examples.countries import Choices, Countries, keep_padding_zero, loss_of
from proofrank.callbacks import InProcess, Validation
from proofrank.callbacks.stable_baselines3 import StableBaselinesValidation
from proofrank.core.policy import PolicyNetwork
from proofrank.core.prover import Atom, ProverSettings, ReferenceProver, State
from proofrank.training.examples import without_held_out

_IMPOSSIBLE = -1e9
"""Logit of an action that there is not."""


class ProofEnvironment(gymnasium.Env):
    """Proves train triples; an action is the number of the state to go on with.

    An observation is ``[1 + S, A, 3]``: the state and its up to S actions, of up to A atoms each, padded with zeros.
    """

    def __init__(self, dataset: proofrank.Dataset, settings: ProverSettings) -> None:
        self._prover = ReferenceProver(without_held_out(dataset), settings)
        self._first_variable = dataset.vocabulary.first_variable_index
        self._triples = [
            triple for triple in dataset.splits["train"] if triple.predicate in dataset.rules_by_predicate
        ]
        most = self._first_variable + settings.max_depth * 10
        self._shape = (1 + settings.padding_states, settings.padding_atoms, 3)
        self.observation_space = gymnasium.spaces.Box(0, most, self._shape, np.int64)
        self.action_space = gymnasium.spaces.Discrete(settings.padding_states)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        triple = self._triples[self.np_random.integers(len(self._triples))]
        self._state: State = (triple,)
        self._excluded: Atom = triple  # a triple is no fact of its own proof
        self._visited: set[frozenset[Atom]] = {frozenset(self._state)}
        self._next_variable = self._first_variable
        self._steps = 0
        return self._observe(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._state = self._actions[action]
        self._steps += 1
        is_proved = self._state == self._prover.true_state
        is_over = is_proved or self._state in (self._prover.false_state, self._prover.endf_state)
        is_too_long = not is_over and self._steps >= self._prover.settings.max_depth
        return self._observe(), float(is_proved), is_over, is_too_long, {}

    def _observe(self) -> np.ndarray:
        found = self._prover.actions(self._state, self._next_variable, self._visited, self._excluded)
        self._actions, self._next_variable = found.states, found.next_variable
        observation = np.zeros(self._shape, np.int64)
        for row, state in enumerate((self._state, *found.states)):
            observation[row, : len(state)] = state
        return observation


class Logits(BaseFeaturesExtractor):
    """Maps observations to the logits of their actions and the vector of their state, side by side."""

    def __init__(self, observation_space: gymnasium.spaces.Box, network: PolicyNetwork) -> None:
        assert observation_space.shape is not None
        self.num_actions = observation_space.shape[0] - 1
        super().__init__(observation_space, self.num_actions + network.config.embedding_dim)
        self.network = network

    def forward(self, observations: Tensor) -> Tensor:
        states = observations.long()
        is_there = states[:, :, 0, 0] > 0
        vectors = torch.zeros(*is_there.shape, self.network.config.embedding_dim)
        vectors[is_there] = self.network.features(states[is_there])
        logits = (vectors[:, 1:] @ vectors[:, 0, :, None]).squeeze(-1) * self.network.logit_scale
        return torch.cat([logits.masked_fill(~is_there[:, 1:], _IMPOSSIBLE), vectors[:, 0]], dim=1)


class Split(nn.Module):
    """Gives the logits to the actor, and the vector of the state to the critic."""

    def __init__(self, num_actions: int, embedding_dim: int) -> None:
        super().__init__()
        self.latent_dim_pi = num_actions
        self.latent_dim_vf = embedding_dim

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        return features[:, : self.latent_dim_pi]

    def forward_critic(self, features: Tensor) -> Tensor:
        return features[:, self.latent_dim_pi :]


class ProofPolicy(ActorCriticPolicy):
    """An actor whose logits are those of a policy network, as they are."""

    def _build_mlp_extractor(self) -> None:
        logits: Any = self.features_extractor
        self.mlp_extractor = Split(logits.num_actions, logits.features_dim - logits.num_actions)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)


def without_padding(gradient: Tensor) -> Tensor:
    """The gradient of a table of embeddings whose first row, which stands for no atom, must not learn."""
    gradient = gradient.clone()
    gradient[0] = 0
    return gradient


def main() -> None:
    """Trains and validates as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the log and the best policy")
    parser.add_argument("--steps", type=int, default=4096, help="number of steps of proofs")
    parsed = parser.parse_args()

    countries = Countries.load()
    network, settings = countries.network, countries.like.settings
    assert settings is not None
    optimizer = torch.optim.Adam(network.parameters(), lr=countries.options.learning_rate)
    for batch in Choices(countries):
        optimizer.zero_grad()
        loss_of(network, batch).backward()
        optimizer.step()
        keep_padding_zero(network)
    for table in (network.embedding.predicates, network.embedding.arguments):
        table.register_hook(without_padding)

    model = PPO(
        ProofPolicy,
        ProofEnvironment(countries.dataset, settings),
        policy_kwargs={
            "features_extractor_class": Logits,
            "features_extractor_kwargs": {"network": network},
            "ortho_init": False,
        },
        learning_rate=1e-3,
        n_steps=512,
        batch_size=128,
        n_epochs=4,
        ent_coef=0.01,
        seed=countries.options.seed,
        device="cpu",
    )
    model.set_logger(configure(str(parsed.out), ["csv"]))
    with Validation(
        InProcess(countries.dataset, split="valid", side="tail", corruptions="all"),
        like=countries.like,
        best_folder=parsed.out / "best",
    ) as validation:
        model.learn(
            parsed.steps,
            callback=StableBaselinesValidation(validation, lambda _: network, every_n_steps=512),
        )
    model.logger.close()
    for result in validation.results:
        print(f"step {result.step}: valid MRR {result.metrics['mrr']:.3f}")


if __name__ == "__main__":
    main()
