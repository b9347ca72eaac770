"""The published picture of speedups: colour by key block, line by query block, marker by length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_attn.published.speedups import Curve

TITLE = "blitz_sparse_attention speedup vs sparsity"
SIZE = (12, 7)
COLOURS = {128: "#d62728", 256: "#ff7f0e", 512: "#2ca02c", 1024: "#1f77b4"}
OTHER_COLOURS = ("#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
LINES = {128: "-", 256: "--", 512: "-.", 1024: ":"}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def draw_speedups(found: Sequence[Curve], output: Path, *, title: str = TITLE, dpi: int = 120) -> None:
    """Write the picture; its format is that of the file's name.

    Raises ValueError with one sentence where matplotlib is missing, knows no such format, or cannot write the file.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError("a picture needs matplotlib: pip install 'pytest-attn[report]'") from error
    figure = Figure(figsize=SIZE)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    problems = list(dict.fromkeys(curve.shape.problem for curve in found))
    lengths = sorted({curve.shape.query_length for curve in found})
    for curve in found:
        query_block, key_block = curve.shape.block_shape
        label = f"block_shape=({query_block},{key_block})" + (f" {curve.shape.problem}" if len(problems) > 1 else "")
        axes.plot(
            *zip(*curve.points, strict=True),
            color=_colour(key_block),
            linestyle=LINES.get(query_block, "-"),
            marker=MARKERS[lengths.index(curve.shape.query_length) % len(MARKERS)],
            label=label,
        )
    axes.axhline(1.0, color="black", linestyle="--", linewidth=1)
    axes.set_xlabel("sparsity (fraction of blocks zeroed)")
    axes.set_ylabel("speedup = Ref_Latency(sparsity=0) / Our_Latency")
    axes.set_title(title if len(problems) > 1 else f"{title}\n{problems[0]}")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="upper left", ncol=1, fontsize="small")
    _save(figure, output, dpi)


def _colour(key_block: int) -> str:
    return COLOURS.get(key_block, OTHER_COLOURS[key_block % len(OTHER_COLOURS)])


def _save(figure: Any, output: Path, dpi: int) -> None:
    try:
        figure.savefig(output, dpi=dpi, bbox_inches="tight")
    except (OSError, ValueError) as error:
        raise ValueError(f"{output}: the picture is not written: {error}") from error
