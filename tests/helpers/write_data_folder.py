"""Writes what a server of this version leaves in its data folder, for tests of later versions.

    python -m tests.helpers.write_data_folder tests/service/storage/data_folder_0_2

The folder gets ``database.sql``, a dump of the database, and ``policies`` as they are. The server of the family has a
policy of the setting, two uploads (one is live), a finished job of a split, one of queries with a key, and one that a
kill has interrupted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
from pathlib import Path

from proofrank.core.graph import load_dataset
from proofrank.core.policy import PolicyConfig, save_policy
from proofrank.core.policy.untrained import random_network
from proofrank.core.prover import ProverSettings
from proofrank.service.client import Client
from proofrank.service.storage.database import DATABASE_FILE
from tests.helpers.family import write_family
from tests.helpers.job_client import many_queries
from tests.helpers.serving import RunningServer

DUMP = "database.sql"
SMALL = PolicyConfig(embedding_dim=4, hidden_dim=8, num_layers=1, max_variables=80)
_QUERY = ("anna", "ancestor", "Zoë")


def dump(data_folder: Path, target: Path) -> None:
    """Writes the database of a data folder as SQL, with the number of its schema."""
    connection = sqlite3.connect(data_folder / DATABASE_FILE)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        lines = [*connection.iterdump(), f"PRAGMA user_version = {version};"]
    finally:
        connection.close()
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def restore(folder: Path, data_folder: Path) -> Path:
    """Makes the data folder again that :func:`main` has written to ``folder``."""
    data_folder.mkdir()
    shutil.copytree(folder / "policies", data_folder / "policies")
    connection = sqlite3.connect(data_folder / DATABASE_FILE)
    try:
        connection.executescript((folder / DUMP).read_text(encoding="utf-8"))
    finally:
        connection.close()
    return data_folder


def write_small_policy(folder: Path, dataset_folder: Path, seed: int) -> Path:
    """Writes a policy of a few kilobytes with random weights."""
    dataset = load_dataset(dataset_folder)
    save_policy(folder, random_network(SMALL, dataset.vocabulary, seed), dataset.vocabulary, ProverSettings())
    return folder


def main(out: Path) -> None:
    """Runs a server of this version, and writes what it leaves to ``out``."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        dataset = write_family(work / "family")
        policies = [write_small_policy(work / name, dataset, seed) for seed, name in enumerate("abc")]
        arguments = ["--dataset", str(dataset), "--policy", str(policies[0]), "--engine", "original"]
        with RunningServer(*arguments, "--data-folder", str(work / "data")) as server:
            server.wait_until_ready()
            with Client(server.url) as client:
                uploaded = client.upload_policy("epoch-1", policies[1])
                client.evaluate("test", policy=uploaded, corruptions="all", progress=False)
                client.upload_policy("epoch-2", policies[2], activate=True)
                client.evaluate([_QUERY], corruptions=3, idempotency_key="first", progress=False)
                queries = [(query["head"], query["relation"], query["tail"]) for query in many_queries(12)]
                client.submit(queries, side="tail", corruptions=2, policy="epoch-1")
            os.kill(server.process_id, signal.SIGKILL)
            server.wait()
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        dump(work / "data", out / DUMP)
        shutil.copytree(work / "data" / "policies", out / "policies")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    sys.exit(main(parser.parse_args().out))
