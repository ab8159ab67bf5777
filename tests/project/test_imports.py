"""``core`` works on a machine that has nothing of the web installed, and knows nothing of the service."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from proofrank.core.policy import PolicyConfig, PolicyNetwork, save_policy
from proofrank.core.prover import ProverSettings
from tests.helpers.datasets import DatasetMaker, write_dataset
from tests.helpers.web_libraries import ROOT, WEB

CORE_FILES = sorted((ROOT / "core").rglob("*.py"))

IMPORT_ALL = f"""
import importlib, pkgutil, sys

FORBIDDEN = {(*WEB, "proofrank.service", "proofrank.training")!r}


def is_forbidden(name):
    return any(name == other or name.startswith(other + ".") for other in FORBIDDEN)


class Refuser:
    def find_spec(self, name, path=None, target=None):
        if is_forbidden(name):
            raise ImportError(f"{{name}} is not installed here")
        return None

sys.meta_path.insert(0, Refuser())
import proofrank.core
for module in pkgutil.walk_packages(proofrank.core.__path__, "proofrank.core."):
    importlib.import_module(module.name)
loaded = [name for name in sys.modules if is_forbidden(name)]
assert not loaded, loaded
"""

EVALUATE = """
from proofrank.core.evaluator import create_evaluator, settings_for
from proofrank.core.graph import load_dataset
from proofrank.core.policy import load_policy
from proofrank.core.ranking import Corruptor, corrupted_queries, rank_queries, report

dataset = load_dataset(sys.argv[1])
policy = load_policy(sys.argv[2], dataset)
evaluator = create_evaluator("original", dataset, policy, settings_for(policy))
queries = corrupted_queries(dataset.splits["test"], ("head", "tail"), Corruptor(dataset))
print("rankings", report(rank_queries(evaluator, queries), dataset).overall.rankings)
"""


WITHOUT_COMPILER = """
import sys
import proofrank.service.app, proofrank.service.web.server
from proofrank.service.cli.main import main

for engine in ("original", "eager", "captured"):
    options = ["--queries", "1", "--corruptions", "1", "--device", "cpu"]
    assert main(["evaluate", "--engine", engine, *options]) == 0

from proofrank.core.default import DATASET, POLICY
from proofrank.service.engine.engine_switch import EngineSwitch
from proofrank.service.settings.settings import Settings
assert EngineSwitch.is_for(Settings(dataset=DATASET, policy=POLICY, device="cpu"))
print(sorted(name for name in sys.modules if name in ("torch._dynamo", "torch._inductor")))
"""


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_all_of_core_imports_and_evaluates_where_nothing_of_the_web_is_installed(
    tmp_path: Path, make_dataset: DatasetMaker
) -> None:
    lines = {"train": ["p(a,b).", "q(b,c)."], "rules": ["p(X,Y) -> q(X,Y)"], "test": ["q(a,b)."]}
    write_dataset(tmp_path / "graph", **lines)
    vocabulary = make_dataset(**lines).vocabulary
    config = PolicyConfig(embedding_dim=2, hidden_dim=2, num_layers=1)
    network = PolicyNetwork(config, vocabulary.num_predicates, vocabulary.num_constants)
    save_policy(tmp_path / "policy", network, vocabulary, ProverSettings())

    result = run_python(IMPORT_ALL + EVALUATE, str(tmp_path / "graph"), str(tmp_path / "policy"))

    assert result.returncode == 0, result.stderr
    assert result.stdout == "rankings 2\n"


def test_the_refusal_of_web_packages_does_refuse() -> None:
    result = run_python(IMPORT_ALL + "\nimport pydantic")

    assert result.returncode != 0
    assert "pydantic is not installed here" in result.stderr


def test_the_compiler_is_not_loaded_where_nothing_is_compiled() -> None:
    """It takes a process longer to load than all else."""
    result = run_python(WITHOUT_COMPILER)

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_of_core_imports_the_service_or_the_web(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    forbidden = (*WEB, "proofrank.service", "proofrank.training", "load", "tests")
    assert not [name for name in imported if name.startswith(forbidden)]


def test_no_test_module_imports_another() -> None:
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        own = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        assert not [name for name in imported if ".test_" in name and name != own], path
