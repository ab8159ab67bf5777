"""Draws the figures of ``python -m benchmarks.gpu``: time per part of a tick, and queries per second against lanes.

python -m benchmarks.draw results/gpu.json --out docs/benchmarks/gpu.png

It needs matplotlib, which the extra ``benchmark`` installs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def main() -> int:
    """Draws one picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path, metavar="gpu.json")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG")
    parsed = parser.parse_args()
    draw(parsed.figures, parsed.out)
    return 0


def draw(figures: Path, out: Path) -> None:
    """Draws the figures of the JSON file ``figures`` into the PNG file ``out``, and notes there what was not
    measured.
    """
    measured = json.loads(figures.read_text())
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    of_parts, of_lanes = figure.subplots(1, 2)
    _draw_parts(of_parts, _rows(measured, "profile", "parts"), _rows(measured, "profile", "whole"))
    _draw_saturation(of_lanes, _rows(measured, "saturation", "saturation"))
    machine = next(iter(_rows(measured, "environment", "machine")), {})
    name = machine.get("device") if measured["device"].startswith("cuda") else machine.get("processor")
    figure.suptitle(f"{name or measured['device']}, torch {machine.get('torch', 'unknown')}")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)


def _rows(measured: Mapping[str, Any], stage: str, table: str) -> list[dict[str, Any]]:
    return measured["stages"].get(stage, {}).get("tables", {}).get(table, [])


def _draw_parts(axes: Axes, parts: list[dict[str, Any]], whole: list[dict[str, Any]]) -> None:
    axes.set_title("Time per part of a tick" + "".join(f", {row['lanes']} lanes" for row in whole[:1]))
    if not parts:
        _say_not_measured(axes)
        return
    names = [row["part"] for row in parts]
    bars = axes.barh(names, [row["ms per tick"] for row in parts])
    axes.bar_label(bars, [f"{row['share %']:.0f} %" for row in parts], padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("ms per tick, not compiled")


def _draw_saturation(axes: Axes, rows: list[dict[str, Any]]) -> None:
    axes.set_title("Queries of 51 candidates per second against lanes")
    points = [(row["lanes"], row["queries per second"]) for row in rows if "queries per second" in row]
    if not points:
        _say_not_measured(axes)
        return
    lanes, rates = zip(*points, strict=True)
    axes.plot(lanes, rates, marker="o")
    axes.set_xscale("log", base=2)
    axes.set_xticks(lanes, [str(number) for number in lanes])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"lanes, {rows[0]['mode']}")
    axes.grid(alpha=0.3)


def _say_not_measured(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
    axes.set_axis_off()


if __name__ == "__main__":
    raise SystemExit(main())
