"""Ways to compute the body of a policy's network on a CPU: products, and the ReLU, layer norm and sum after each.

    python -m benchmarks.epilogues
    python -m benchmarks.epilogues --compile
    python -m benchmarks.epilogues --candidates

The ways take turns, on the same rows and weights, with one thread; seconds on a processor are measured. Each is
compared with torch's own operations, and asked whether a row has the same bits in 64 rows as in 512. ``--compile`` adds
ways that need a C++ compiler. ``--candidates`` also evaluates a sample by ``eager``, with torch's products and with
those that oneDNN has packed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.common import (
    Workload,
    add_output,
    add_workload,
    arguments_of,
    interleaved,
    load_workload,
    machine,
    median,
    print_table,
    write_output,
)
from proofrank.core.evaluator import CompiledEvaluator, create_evaluator
from proofrank.core.policy.features import CHUNK_ROWS, ROW_MULTIPLE, RowFeatures, StateFeatures
from proofrank.core.policy.network import ResidualBlock
from proofrank.core.prover import Outcome

NUM_ROWS = 3 * CHUNK_ROWS
"""Number of rows of one measurement."""

Body = Callable[[Tensor], Tensor]


class Way(NamedTuple):
    """A way to compute the blocks: ``[n, H]`` to ``[n, H]``, for at most ``rows`` rows at once."""

    body: Body
    rows: int = CHUNK_ROWS


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_workload(parser, num_queries=4, num_repeats=15)
    parser.add_argument("--compile", action="store_true", help="also ways that a compiler makes")
    parser.add_argument(
        "--candidates", action="store_true", help="also whole evaluations of the queries by eager"
    )
    add_output(parser)
    parser.set_defaults(threads=1)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    workload = load_workload(parsed.dataset, parsed.policy, parsed.queries, parsed.corruptions, "both")
    blocks = [block for block in workload.policy.network.body_blocks if isinstance(block, ResidualBlock)]
    with torch.inference_mode():
        rows = _rows_of_ways(_ways(blocks, with_compiler=parsed.compile), blocks, parsed.repeats)
    print(machine())
    print_table(rows)
    evaluations = _evaluations(workload, parsed.repeats) if parsed.candidates else []
    if evaluations:
        print_table(evaluations)
    write_output(parsed.json, {"arguments": arguments_of(parsed), "rows": rows, "evaluations": evaluations})
    return 0


def _ways(blocks: Sequence[ResidualBlock], *, with_compiler: bool) -> dict[str, Way]:
    """The ways by name; the first is torch's own operations, in place."""
    ways = {
        "torch": Way(partial(_by, functional.linear, blocks)),
        "torch, chunks of 128 rows": Way(partial(_by, functional.linear, blocks), 128),
        "torch, chunks of 256 rows": Way(partial(_by, functional.linear, blocks), 256),
        "torch, chunks of 1024 rows": Way(partial(_by, functional.linear, blocks), 1024),
        "torch, into a workspace": Way(_InWorkspace(blocks)),
        "torch, products alone": Way(partial(_products, blocks)),
    }
    mkldnn, mkl = torch.ops.mkldnn, torch.ops.mkl
    if torch.backends.mkldnn.is_available():
        packed = {
            block.linear.weight: mkldnn._reorder_linear_weight(block.linear.weight, CHUNK_ROWS)
            for block in blocks
        }

        def by_onednn(epilogue: str, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return mkldnn._linear_pointwise(rows, packed[weight], bias, epilogue, [], "")

        ways["oneDNN, packed weights"] = Way(partial(_by, partial(by_onednn, "none"), blocks))
        ways["oneDNN, packed weights, ReLU in the product"] = Way(
            partial(_by, partial(by_onednn, "relu"), blocks, has_relu=True)
        )
    if torch.backends.mkl.is_available() and hasattr(mkl, "_mkl_linear"):
        packed_by_mkl = {
            block.linear.weight: mkl._mkl_reorder_linear_weight(block.linear.weight, CHUNK_ROWS)
            for block in blocks
        }

        def by_mkl(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return mkl._mkl_linear(rows, packed_by_mkl[weight], weight, bias, CHUNK_ROWS)

        ways["MKL, packed weights"] = Way(partial(_by, by_mkl, blocks))
    if with_compiler:
        ways |= _compiled_ways(blocks)
    return ways


def _by(
    product: Callable[[Tensor, Tensor, Tensor], Tensor],
    blocks: Sequence[ResidualBlock],
    rows: Tensor,
    *,
    has_relu: bool = False,
) -> Tensor:
    """The blocks by one operation each for product, ReLU, layer norm and sum; the product may have the ReLU in it."""
    hidden = rows.clone()
    for block in blocks:
        applied = product(hidden, block.linear.weight, block.linear.bias)
        hidden += block.norm(applied if has_relu else functional.relu_(applied))
    return hidden


def _products(blocks: Sequence[ResidualBlock], rows: Tensor) -> Tensor:
    """The products one after the other, and nothing between them: another result, in the least time that they take."""
    for block in blocks:
        rows = block.linear(rows)
    return rows


class _InWorkspace:
    """The blocks by operations that write into tensors of their own, which are made once."""

    def __init__(self, blocks: Sequence[ResidualBlock]) -> None:
        self._blocks = [(block, block.linear.weight.t()) for block in blocks]
        size = blocks[0].linear.out_features
        self._product, self._normed = torch.empty(CHUNK_ROWS, size), torch.empty(CHUNK_ROWS, size)
        self._mean, self._deviation = torch.empty(CHUNK_ROWS, 1), torch.empty(CHUNK_ROWS, 1)

    def __call__(self, rows: Tensor) -> Tensor:
        number, hidden = len(rows), rows.clone()
        product, normed = self._product[:number], self._normed[:number]
        for block, turned in self._blocks:
            torch.addmm(block.linear.bias, hidden, turned, out=product).relu_()
            norm = block.norm
            torch.ops.aten.native_layer_norm.out(
                *(product, norm.normalized_shape, norm.weight, norm.bias, norm.eps),
                out0=normed,
                out1=self._mean[:number],
                out2=self._deviation[:number],
            )
            hidden += normed
        return hidden


def _compiled_ways(blocks: Sequence[ResidualBlock]) -> dict[str, Way]:
    """Ways with machine code of the epilogue (ReLU, layer norm and sum in one pass), or of the whole block."""

    def epilogue(product: Tensor, hidden: Tensor, norm: nn.LayerNorm) -> None:
        hidden.add_(norm(functional.relu(product)))

    def in_two(compiled: Callable[..., None], rows: Tensor) -> Tensor:
        hidden = rows.clone()
        for block in blocks:
            compiled(block.linear(hidden), hidden, block.norm)
        return hidden

    def whole(compiled: Callable[..., Tensor], rows: Tensor) -> Tensor:
        hidden = rows
        for block in blocks:
            hidden = compiled(block, hidden)
        return hidden

    fixed = torch.compile(epilogue, dynamic=False, fullgraph=True)
    by_template = torch.compile(
        lambda block, rows: block(rows),
        dynamic=False,
        fullgraph=True,
        options={"max_autotune_gemm": True, "max_autotune_gemm_backends": "CPP,ATEN", "freezing": True},
    )
    return {
        "compiled epilogue, fixed rows": Way(partial(in_two, fixed)),
        "compiled epilogue, any rows": Way(
            partial(in_two, torch.compile(epilogue, dynamic=True, fullgraph=True))
        ),
        "compiled block with its product, fixed rows": Way(partial(whole, by_template)),
    }


def _rows_of_ways(
    ways: dict[str, Way], blocks: Sequence[ResidualBlock], repeats: int
) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    size = blocks[0].linear.in_features
    given = torch.randn(NUM_ROWS, size, generator=generator)
    ready: dict[str, Callable[[], Tensor]] = {}
    found: dict[str, tuple[Tensor, bool]] = {}
    for name, way in ways.items():
        try:
            found[name] = (_in_chunks(way, given), _is_row_invariant(way.body, given[:CHUNK_ROWS]))
        except Exception as error:
            print(f"{name}: left out: {' '.join(str(error).split())[:200]}")
            continue
        ready[name] = partial(_in_chunks, way, given)
    seconds = interleaved(ready, repeats, time.process_time)
    first = next(iter(ready))
    expected, _ = found[first]
    base = median(seconds[first])
    return [
        {
            "way": name,
            "us per state": median(seconds[name]) / NUM_ROWS * 1e6,
            "times torch": median(
                [own / other for own, other in zip(seconds[name], seconds[first], strict=True)]
            ),
            "of the least": min(seconds[name]) / base,
            "largest difference": float((vectors - expected).abs().max()),
            "independent rows": is_invariant,
        }
        for name, (vectors, is_invariant) in found.items()
    ]


def _in_chunks(way: Way, rows: Tensor) -> Tensor:
    return torch.cat([way.body(chunk) for chunk in rows.split(way.rows)])


def _is_row_invariant(body: Body, rows: Tensor) -> bool:
    """Whether rows have the same bits in a chunk of ``ROW_MULTIPLE`` rows, and at another place."""
    whole = body(rows)
    return torch.equal(body(rows[:ROW_MULTIPLE]), whole[:ROW_MULTIPLE]) and torch.equal(
        body(rows.flip(0)).flip(0), whole
    )


def _pack(features: StateFeatures) -> None:
    """Has a network multiply with weights that oneDNN packs now."""
    assert isinstance(features, RowFeatures)
    packed = {
        layer: torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), CHUNK_ROWS)
        for layer in features._products()
    }

    def product(linear: nn.Linear, rows: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(rows, packed[linear], linear.bias, "none", [], "")

    features._product = product


def _evaluations(workload: Workload, repeats: int) -> list[dict[str, Any]]:
    """A row each for evaluations with torch's products and with packed weights."""
    candidates = workload.candidates
    outcomes, contestants = {}, {}
    for name, is_packing in (("torch", False), ("oneDNN, packed weights", True)):
        evaluator = create_evaluator(
            "eager", workload.dataset, workload.policy, workload.settings, device="cpu"
        )
        assert isinstance(evaluator, CompiledEvaluator)
        if is_packing:
            _pack(evaluator._features)
        outcomes[name] = list(evaluator.evaluate(candidates))
        contestants[name] = partial(evaluator.evaluate, candidates)
    seconds = interleaved(contestants, max(repeats // 3, 1), time.process_time)
    first = outcomes["torch"]
    return [
        {
            "products": name,
            "candidates": len(candidates),
            "ms per candidate": median(seconds[name]) / len(candidates) * 1e3,
            "times torch": median(
                [own / other for own, other in zip(seconds[name], seconds["torch"], strict=True)]
            ),
            "same proofs": sum(_proof(own) == _proof(other) for own, other in zip(found, first, strict=True)),
            "largest difference of a log-probability": max(
                abs(own.log_probability - other.log_probability)
                for own, other in zip(found, first, strict=True)
            ),
        }
        for name, found in outcomes.items()
    ]


def _proof(outcome: Outcome) -> tuple[bool, tuple[int, ...]]:
    return outcome.success, tuple(outcome.actions)


if __name__ == "__main__":
    raise SystemExit(main())
