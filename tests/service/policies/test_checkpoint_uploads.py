"""Checkpoint files of the public code are uploaded as they are; what a file does not tell is asked for by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from proofrank.client import Client, ClientError, InvalidRequestError
from proofrank.core.graph import Dataset, load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.policy.importing import Facts, import_checkpoint, read_facts
from tests.helpers.answers import refusal
from tests.helpers.datasets import SHARED
from tests.helpers.public_checkpoints import checkpoint_file, state_dict_of
from tests.helpers.serving import RunningServer

FACTS = {
    "atom_embedder": "transe",
    "state_embedder": "mean",
    "l2_norm": True,
    "sqrt_scale": False,
    "temperature": 0.1,
    "padding_atoms": 6,
}
MAX_POLICY_BYTES = 3 * 2**20


@pytest.fixture(scope="module")
def checkpoint(family_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the public code for the family."""
    path = tmp_path_factory.mktemp("checkpoint") / "epoch 3.pt"
    torch.save(state_dict_of(load_dataset(family_folder)), path)
    return path


@pytest.fixture(scope="module")
def imported(checkpoint: Path, family_folder: Path) -> Path:
    """The policy folder that an import of the file makes here."""
    folder = checkpoint.parent / "imported"
    import_checkpoint(checkpoint, load_dataset(family_folder), Facts(dict(FACTS))).save(folder)
    return folder


@pytest.fixture(scope="module")
def server(
    family_folder: Path, imported: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server that ranks by the imported policy."""
    arguments = [
        *("--dataset", str(family_folder), "--policy", str(imported), "--engine", "original"),
        *("--data-folder", str(tmp_path_factory.mktemp("data"))),
        *("--max-policy-bytes", str(MAX_POLICY_BYTES)),
    ]
    with RunningServer(*arguments) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def client(server: RunningServer) -> httpx.Client:
    """A client of that server."""
    return server.client


def put(client: httpx.Client, checkpoint: Path, facts: Any = None, **parameters: Any) -> httpx.Response:
    """Uploads the file, with facts as JSON if there are any."""
    files: dict[str, Any] = {"checkpoint": (checkpoint.name, checkpoint.read_bytes())}
    if facts is not None:
        files["facts"] = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
    return client.put("/policies/public", files=files, params=parameters)


def test_an_uploaded_checkpoint_is_the_policy_that_the_import_makes(
    client: httpx.Client, checkpoint: Path, imported: Path
) -> None:
    answer = put(client, checkpoint, FACTS, activate=True)
    assert answer.status_code in (200, 201), answer.text
    assert answer.json()["sha256"] == load_policy(imported).content_hash
    query = {"head": "anna", "relation": "ancestor", "tail": "Zoë"}
    ranked = client.post("/rank", json={"queries": [query]}).json()
    assert ranked["policy"] == {"name": "public", "sha256": answer.json()["sha256"]}


def test_facts_may_be_a_plain_field_of_a_form(client: httpx.Client, checkpoint: Path, imported: Path) -> None:
    with checkpoint.open("rb") as file:
        answer = client.put("/policies/public", files={"checkpoint": file}, data={"facts": json.dumps(FACTS)})
    assert answer.status_code in (200, 201), answer.text
    assert answer.json()["sha256"] == load_policy(imported).content_hash


def test_each_fact_that_is_missing_is_named_with_the_public_codes_default(
    client: httpx.Client, checkpoint: Path
) -> None:
    told = {"atom_embedder": "transe", "state_embedder": "mean", "padding_atoms": 6}
    body = refusal(put(client, checkpoint, told))
    assert {error["field"]: error["message"] for error in body["errors"]} == {
        "facts.l2_norm": "the file does not tell it; expected true or false; the public code's default is true",
        "facts.sqrt_scale": "the file does not tell it; expected true or false; the public code's default is false",
        "facts.temperature": "the file does not tell it; expected a number above 0, or null for none; the public "
        "code's default is 0.1",
    }
    assert "?public_defaults=true" in body["detail"]


def test_the_public_codes_defaults_are_taken_only_where_that_is_asked_for(
    client: httpx.Client, checkpoint: Path, family: Dataset
) -> None:
    assert put(client, checkpoint).status_code == 422
    answer = put(client, checkpoint, public_defaults=True)
    assert answer.status_code in (200, 201), answer.text
    folder = checkpoint.parent / "by-default"
    import_checkpoint(checkpoint, family, Facts({}), with_defaults=True).save(folder, overwrite=True)
    assert answer.json()["sha256"] == load_policy(folder).content_hash


@pytest.mark.parametrize(
    ("facts", "field", "message"),
    [
        ({**FACTS, "l2_norm": "yes"}, "facts.l2_norm", "l2_norm is 'yes'; expected true or false"),
        ({**FACTS, "padding_atoms": 10**9}, "facts.padding_atoms", "expected a whole number from 1 to 1048576"),
        ({**FACTS, "atom_embedder": "complex"}, "facts.atom_embedder", "expected one of transe, sum, distmult"),
        ({**FACTS, "factory": "sb3"}, "facts.factory", "the names of its tensors are of the current generation"),
        ({**FACTS, "in_file": {"hidden_dim": 7}}, "facts.in_file.hidden_dim", "the file says 6"),
        ([], "facts", "facts: a JSON list; expected an object of facts by name"),
        (b"{" * 100_000, "facts", "facts: not JSON: "),
    ],
)  # fmt: skip
def test_a_wrong_fact_is_refused_with_its_name(
    client: httpx.Client, checkpoint: Path, facts: Any, field: str, message: str
) -> None:
    (error,) = refusal(put(client, checkpoint, facts))["errors"]
    assert error["field"] == field
    assert message in error["message"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "epoch 3.pt: no zip archive; expected a state dict"),
        (b"\x80\x04cposix\nsystem\n(S'true'\ntR.", "epoch 3.pt: no zip archive; expected a state dict"),
        (b"PK\x03\x04" + b"\x00" * 1000, "epoch 3.pt: damaged zip archive"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused_under_the_clients_name_for_it(
    client: httpx.Client, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "epoch 3.pt"
    path.write_bytes(content)
    (error,) = refusal(put(client, path, FACTS))["errors"]
    assert error["field"] == "checkpoint"
    assert error["message"].startswith(message)


def test_a_checkpoint_of_another_graph_is_refused_with_both_numbers(
    client: httpx.Client, family: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "other.pt"
    torch.save(state_dict_of(family, num_extra_predicates=1), path)
    (error,) = refusal(put(client, path, FACTS))["errors"]
    assert error["field"] == "checkpoint"
    assert (
        "its table has 3 predicates beside True, False and Endf; dataset 'family' has 2" in error["message"]
    )


def test_one_form_at_a_time_and_facts_only_beside_a_checkpoint(
    client: httpx.Client, checkpoint: Path
) -> None:
    both = {"checkpoint": checkpoint.read_bytes(), "config": b"{}"}
    (error,) = refusal(client.put("/policies/public", files=both))["errors"]
    assert (error["field"], error["message"][:26]) == ("config", "stands beside another form")
    (error,) = refusal(client.put("/policies/public", files={"facts": b"{}"}))["errors"]
    assert error["field"] == "checkpoint"
    assert error["message"].startswith(
        "missing; expected multipart/form-data with the files weights, config, "
    )


def test_facts_and_checkpoints_have_limits(client: httpx.Client, checkpoint: Path, tmp_path: Path) -> None:
    body = refusal(put(client, checkpoint, b" " * (2**20 + 1)), 413)
    assert body["detail"].startswith("facts is larger than 1048576 bytes")
    large = tmp_path / "large.pt"
    large.write_bytes(b" " * (MAX_POLICY_BYTES + 1))
    assert str(MAX_POLICY_BYTES) in refusal(put(client, large, FACTS), 413)["detail"]


@pytest.mark.parametrize("name", ["../../etc/epoch.pt", "C:\\models\\epoch.pt", "x" * 2000, "\x00\x1b[2J"])
def test_a_name_of_the_file_is_no_path_and_is_short_in_answers(client: httpx.Client, name: str) -> None:
    answer = client.put("/policies/public", files={"checkpoint": (name, b"garbage")})
    (error,) = refusal(answer)["errors"]
    shown = error["message"].split(":")[0]
    assert len(shown) <= 200
    assert shown.isprintable()
    assert not {"/", "\\"} & set(shown)


def test_the_client_uploads_a_checkpoint_and_tells_what_is_missing(
    server: RunningServer, checkpoint: Path, imported: Path
) -> None:
    with Client(server.url) as speaker:
        with pytest.raises(InvalidRequestError) as caught:
            speaker.upload_checkpoint("mine", checkpoint, {"atom_embedder": "transe"})
        assert "facts.temperature" in {error.field for error in caught.value.errors}
        uploaded = speaker.upload_checkpoint("mine", checkpoint, FACTS, activate=True)
        assert uploaded.sha256 == load_policy(imported).content_hash
        assert speaker.rank([("anna", "ancestor", "Zoë")]).policy.name == "mine"
        facts_file = checkpoint.parent / "facts.json"
        facts_file.write_text(json.dumps(FACTS), encoding="utf-8")
        assert speaker.upload_checkpoint("mine", checkpoint, facts_file).sha256 == uploaded.sha256
        with pytest.raises(ClientError, match=r"nowhere\.pt: no such file"):
            speaker.upload_checkpoint("mine", "nowhere.pt")


@pytest.mark.parametrize("name", ["sb3-countries_s3", "compiled-countries_s3"])
def test_files_of_the_public_code_itself_are_taken(name: str, tmp_path: Path) -> None:
    source = SHARED / "checkpoints" / name
    if not source.is_dir():
        pytest.skip("no shared checkpoints")
    dataset_folder = SHARED / "data" / "countries_s3"
    facts = json.loads((source / "facts.json").read_text(encoding="utf-8"))
    dataset = load_dataset(dataset_folder)
    file = checkpoint_file(source)
    import_checkpoint(file, dataset, read_facts(source / "facts.json")).save(tmp_path / "here")
    arguments = [
        *("--dataset", str(dataset_folder), "--policy", str(tmp_path / "here"), "--engine", "original"),
        *("--data-folder", str(tmp_path / "data")),
    ]
    (tmp_path / "data").mkdir()
    with RunningServer(*arguments) as running:
        answer = put(running.wait_until_ready().client, file, facts)
    assert answer.status_code == 201, answer.text
    assert answer.json()["sha256"] == load_policy(tmp_path / "here").content_hash
