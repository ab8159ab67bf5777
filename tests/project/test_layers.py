"""Imports go one way: between the layers of ``core``, the folders of ``service``, and all modules of the package.

Imports for types alone and imports inside functions count as well.
"""

from __future__ import annotations

import ast
import graphlib
import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("core", "service", "training")

CORE_LAYERS = (
    ("errors", "choices", "default"),
    ("hybrid", "metric_names", "near_paths", "protocol_rules"),
    ("comparison", "formats", "rank_metrics"),
    ("graph",),
    ("provability", "prover"),
    ("policy",),
    ("embedding", "evaluator"),
    ("ranking",),
    ("protocols",),
)
SERVICE_LAYERS = (
    ("wire",),
    ("errors", "threads", "terminal"),
    ("client", "settings", "storage", "scheduler"),
    ("ranking", "telemetry"),
    ("engine", "web"),
    ("policies",),
    ("jobs",),
    ("bulk", "services"),
    ("page", "routes"),
    ("app",),
    ("on_ray",),
    ("cli",),
)
LIBRARIES_OF_CORE = {"filelock", "numpy", "safetensors", "scipy", "torch"}
"""Libraries that all of ``core`` may import; the extra ``server`` brings them."""

OPTIONAL_LIBRARIES_OF_CORE = {
    "proofrank.core.embedding.pykeen_modules": "pykeen",
    "proofrank.core.policy.fused_block": "triton",
}
"""A module of ``core`` -> the library that it alone imports, where that is installed."""

FLAT_FILES_OF_SERVICE = {"__init__", "app", "errors", "services", "threads"}


def modules() -> dict[str, Path]:
    """Every module of the package, by its name."""
    found = {}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(("proofrank", *parts)).removesuffix(".__init__")] = path
    own = (ROOT / "proofrank").glob("*.py"), (ROOT / "proofrank" / "callbacks").rglob("*.py")
    for path in itertools.chain(*own):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in submodules]
        else:
            continue
        yield from (name for name in names if name in known)


MODULES = modules()
IMPORTS = {name: set(imported(path, MODULES)) - {name} for name, path in MODULES.items()}


def broken_layers(
    package: str, layers: tuple[tuple[str, ...], ...], imports: Mapping[str, set[str]]
) -> list[str]:
    """The imports within ``package`` that do not go to an earlier layer or stay in their part."""
    layer_of = {part: index for index, parts in enumerate(layers) for part in parts}
    broken = []
    for module, targets in imports.items():
        for target in targets:
            if not all(name.startswith(f"{package}.") for name in (module, target)):
                continue
            source_part, target_part = (name.split(".")[2] for name in (module, target))
            if source_part != target_part and layer_of[target_part] >= layer_of[source_part]:
                broken.append(f"{module} -> {target}")
    return broken


@pytest.mark.parametrize(
    ("package", "layers"), [("proofrank.core", CORE_LAYERS), ("proofrank.service", SERVICE_LAYERS)]
)
def test_imports_go_from_later_to_earlier_layers(package: str, layers: tuple[tuple[str, ...], ...]) -> None:
    parts = {name.split(".")[2] for name in MODULES if name.startswith(f"{package}.")}
    assert parts == {part for layer in layers for part in layer}
    assert broken_layers(package, layers, IMPORTS) == []


def test_core_imports_neither_service_nor_training_and_service_imports_no_training() -> None:
    for module, targets in IMPORTS.items():
        parts = {target.split(".")[1] for target in targets}
        if module.startswith("proofrank.core"):
            assert parts <= {"core"}, module
        elif module.startswith("proofrank.service"):
            in_process = {"in_process", "interval_evaluation", "rank_reasons", "hybrid_fitting", "sampling"}
            assert parts <= {"core", "service", "_version", *in_process}, module


def libraries_of(tree: ast.AST) -> set[str]:
    """The libraries that the import statements in ``tree`` name."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"proofrank"}


def test_core_imports_few_libraries_and_optional_ones_in_one_module_each() -> None:
    for module, path in MODULES.items():
        if module.startswith("proofrank.core"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            optional = OPTIONAL_LIBRARIES_OF_CORE.get(module)
            assert libraries_of(tree) - LIBRARIES_OF_CORE == ({optional} if optional else set()), module


def test_core_imports_pykeen_only_in_a_function() -> None:
    tree = ast.parse(MODULES["proofrank.core.embedding.pykeen_modules"].read_text(encoding="utf-8"))
    outside = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    assert "pykeen" not in set().union(*map(libraries_of, outside))


def test_callbacks_import_no_training_and_only_adapters_import_their_library() -> None:
    libraries = {"lightning", "pykeen", "stable_baselines3"}
    for path in (ROOT / "proofrank" / "callbacks").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        assert not [name for name in imported if name.startswith("proofrank.training")], path
        assert {name.split(".")[0] for name in imported} & libraries <= {path.stem}, path


def test_no_modules_import_each_other_in_a_circle() -> None:
    list(graphlib.TopologicalSorter(IMPORTS).static_order())


def test_only_what_everybody_needs_lies_flat_in_service() -> None:
    assert {path.stem for path in (ROOT / "service").glob("*.py")} == FLAT_FILES_OF_SERVICE


def test_an_import_that_runs_backwards_is_found() -> None:
    backwards = {"proofrank.core.graph.rules": {"proofrank.core.prover.outcome"}}
    assert broken_layers("proofrank.core", CORE_LAYERS, backwards) == [
        "proofrank.core.graph.rules -> proofrank.core.prover.outcome"
    ]
    forwards = {"proofrank.core.prover.outcome": {"proofrank.core.graph.rules"}}
    assert broken_layers("proofrank.core", CORE_LAYERS, forwards) == []


def test_the_order_that_the_package_describes_is_the_one_that_is_tested() -> None:
    described = ast.get_docstring(ast.parse((ROOT / "service" / "__init__.py").read_text())) or ""
    lines = [line.strip() for line in described.splitlines() if line.startswith("    ")]
    assert lines == [", ".join(layer) for layer in SERVICE_LAYERS]


def test_what_goes_over_http_needs_nothing_but_pydantic_and_the_words_of_errors() -> None:
    for module, targets in IMPORTS.items():
        if module.startswith("proofrank.service.wire"):
            outside = {name for name in targets if not name.startswith("proofrank.service.wire")}
            assert outside <= {
                "proofrank.core.choices",
                "proofrank.core.errors",
                "proofrank.core.formats.times",
                "proofrank.core.protocol_rules",
            }, module
