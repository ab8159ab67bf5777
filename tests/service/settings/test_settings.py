"""Settings come from flags, the environment and a file, in that order, and are checked at start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proofrank.service.settings.settings import Settings, SettingsError, load_settings
from tests.helpers.serving import RunningServer


def refusal(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    config: Path | None = None,
) -> str:
    """Returns the message that refuses these settings."""
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, environment or {}, config)
    return str(caught.value)


def written(folder: Path, text: str) -> Path:
    """Writes a settings file with this text."""
    path = folder / "proofrank.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_any_source_all_settings_have_their_defaults() -> None:
    assert load_settings({}, {}) == Settings.model_validate({})


def test_flags_go_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    config = written(tmp_path, 'port = 1\nmax_queries = 1\nmax_proofs = 1\nengine = "original"\n')
    environment = {"PROOFRANK_PORT": "2", "PROOFRANK_MAX_QUERIES": "2", "OTHER_MAX_PROOFS": "2"}
    settings = load_settings({"port": "3", "host": None}, environment, config)
    assert (settings.port, settings.max_queries, settings.max_proofs) == (3, 2, 1)
    assert (settings.engine, settings.host) == ("original", ("127.0.0.1",))


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    config = written(tmp_path, "port = 9\n")
    assert load_settings({}, {"PROOFRANK_CONFIG": str(config)}).port == 9


def test_the_key_of_a_client_on_the_same_machine_is_no_setting() -> None:
    assert load_settings({}, {"PROOFRANK_API_KEY": "secret"}) == load_settings({}, {})


def test_the_variables_of_a_load_run_on_the_same_machine_are_no_settings() -> None:
    assert load_settings({}, {"PROOFRANK_LOAD_DATASET": "/data/family"}) == load_settings({}, {})


def test_prover_settings_are_overrides_only_where_they_are_given() -> None:
    settings = load_settings({"max_depth": "5"}, {"PROOFRANK_MEMORY_PRUNING": "false"})
    assert settings.prover_overrides == {"max_depth": 5, "memory_pruning": False}


def test_an_unknown_name_is_refused_with_its_source_and_the_nearest_name(tmp_path: Path) -> None:
    assert refusal({"max_querys": 1}).startswith("unknown setting: --max-querys; did you mean 'max_queries'")
    message = refusal(environment={"PROOFRANK_MAX_QUERYS": "1"})
    assert message.startswith("unknown setting: PROOFRANK_MAX_QUERYS in the environment; did you mean '")
    config = written(tmp_path, "prot = 1\n")
    assert refusal(config=config) == f"unknown setting: prot in {config}; did you mean 'port'?"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "http"),
        ("port", "65536"),
        ("port", "-1"),
        ("threads", "0"),
        ("max_queries", "0"),
        ("max_body_bytes", "10"),
        ("padding_states", "1"),
        ("memory_pruning", "perhaps"),
        ("max_depth", ""),
    ],
)
def test_a_bad_value_is_refused_with_its_source(name: str, value: str) -> None:
    variable = f"PROOFRANK_{name.upper()}"
    message = refusal(environment={variable: value})
    assert message.startswith(f"{variable} in the environment is {value!r}: ")


def test_fewer_candidates_may_not_wait_than_one_request_may_have() -> None:
    message = refusal({"max_candidates": 100, "max_queued_candidates": 99})
    assert message == "--max-queued-candidates is 99: expected at least max_candidates, which is 100"


def test_a_settings_file_that_is_missing_or_no_toml_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert refusal(config=missing).startswith(f"settings file {missing} cannot be read: ")
    config = written(tmp_path, "port: 1\n")
    assert refusal(config=config).startswith(f"settings file {config} is not TOML: ")


def test_a_server_takes_its_settings_from_flags_environment_and_file(
    family_folder: Path, policy_folder: Path, tmp_path: Path
) -> None:
    config = written(
        tmp_path, f"dataset = '{family_folder}'\npolicy = '{policy_folder}'\nmax_queries = 5\nmax_depth = 7\n"
    )
    environment = {"PROOFRANK_MAX_QUERIES": "6", "PROOFRANK_ENGINE": "original"}
    arguments = ("--config", str(config), "--max-proofs", "4", "--no-end-proof-action")
    with RunningServer(*arguments, environment=environment) as server:
        info = server.wait_until_ready().client.get("/info").json()
    assert info["dataset"]["name"] == "family"
    assert info["engine"] == "original"
    assert (info["limits"]["max_queries"], info["limits"]["max_proofs"]) == (6, 4)
    assert (info["prover"]["max_depth"], info["prover"]["end_proof_action"]) == (7, False)
    assert info["prover"]["memory_pruning"] is True
