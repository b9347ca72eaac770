"""Which tests there are: those of our fixtures, parametrized with the cells of a sweep or with plain axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import NamedTuple

import pytest

from pytest_attn.options.options import Options
from pytest_attn.plugin.marks import CELLS
from pytest_attn.plugin.run import Run
from pytest_attn.problem.case import Case
from pytest_attn.problem.frame import BLOCK_SHAPES
from pytest_attn.problem.sweep import find_sweep, is_drawn, sweep_names
from pytest_attn.problem.vocabulary import DTYPES
from pytest_attn.records.benchmark_id import BenchmarkId
from pytest_attn.text import closest

CELL_FIXTURES = ("attn", "problem", "attn_cell")
DEFAULT_SWEEP = "smoke"
CASES_GIVEN = "cases given"
"""The group of the cases of `--attn-case`."""


class CellParameter(NamedTuple):
    """What a test of a sweep is parametrized with: plain data."""

    sweep: str
    kernel: str
    case: Case

    @property
    def benchmark(self) -> BenchmarkId:
        """What the cell is compared by over time."""
        return BenchmarkId(self.case.id, self.kernel)


def generate_tests(metafunc: pytest.Metafunc, run: Run, ours: Iterable[str]) -> None:
    """Parametrize a test that uses our fixtures, `ours`: with the cells of a sweep, or with the values of plain axes.
    Those that its author parametrized are left alone."""
    names, options = {*ours} - _parametrized(metafunc), run.options
    marker = metafunc.definition.get_closest_marker(CELLS)
    if marker or any(name in names for name in CELL_FIXTURES):
        wanted = marker.kwargs if marker else {"sweep": None, "group": None}
        default = "latency" if "attn_benchmark" in names else DEFAULT_SWEEP
        cells = _cells(wanted["sweep"], wanted["group"], run, default)
        labels = _labels(options.kernel)
        several = len(labels) > 1
        ids = [f"{labels[cell.kernel]}-{cell.case.id}" if several else cell.case.id for cell in cells]
        metafunc.parametrize("attn_cell", cells, ids=ids, indirect=True)
        return
    if "kernel" in names:
        metafunc.parametrize("kernel", options.kernel, ids=[*_labels(options.kernel).values()], indirect=True)
    if "dtype" in names:
        metafunc.parametrize("dtype", DTYPES, indirect=True)
    if "frame_widths" in names:
        metafunc.parametrize("frame_widths", [False, True], ids=["unframed", "framed"], indirect=True)
    if "block_shape" in names:
        metafunc.parametrize(
            "block_shape", BLOCK_SHAPES, ids=["bs{}x{}".format(*s) for s in BLOCK_SHAPES], indirect=True
        )


def _parametrized(metafunc: pytest.Metafunc) -> set[str]:
    """The fixtures that the author of a test parametrized."""
    found: set[str] = set()
    for mark in metafunc.definition.iter_markers("parametrize"):
        argnames = mark.args[0] if mark.args else mark.kwargs["argnames"]
        found |= set(argnames.replace(",", " ").split() if isinstance(argnames, str) else argnames)
    return found


def select(items: list[pytest.Item], options: Options) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """(kept, left out): cells that `--attn-sweep`, `--attn-axis` and `--attn-case` leave out are deselected."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (kept if _runs(item, options) else left_out).append(item)
    return kept, left_out


def _parameters(item: pytest.Item) -> dict[str, object]:
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}


def uses_a_kernel(item: pytest.Item) -> bool:
    """Whether a test is given a kernel, or a cell of one."""
    return any(name in _parameters(item) for name in ("attn_cell", "kernel"))


def parameter_of(item: pytest.Item) -> CellParameter | None:
    """The cell of a sweep that the item is parametrized with; None where there is none."""
    parameter = _parameters(item).get("attn_cell")
    return parameter if isinstance(parameter, CellParameter) else None


def stands_for_nothing(item: object) -> bool:
    """Whether pytest made the item of an empty list of cells, with a placeholder for its cell."""
    return isinstance(item, pytest.Item) and "attn_cell" in _parameters(item) and parameter_of(item) is None


def _runs(item: pytest.Item, options: Options) -> bool:
    if "attn_cell" not in _parameters(item):
        return True
    cell = parameter_of(item)
    return cell is not None and (not cell.sweep or options.keeps(cell.sweep, cell.case))


def _cells(sweep: str | None, group: str | None, run: Run, default: str) -> list[CellParameter]:
    """The cells of a test, those of sweeps that the user left out not among them."""
    options = run.options
    if group == CASES_GIVEN:
        return [CellParameter("", kernel, case) for kernel in options.kernel for case in options.case]
    names = () if options.case else (sweep,) if sweep is not None else options.sweep or (default,)
    return [
        CellParameter(name, kernel, case)
        for kernel in options.kernel
        for name in names
        for case in _cases(name, group, kernel, run)
    ]


def _cases(sweep: str, group: str | None, kernel: str, run: Run) -> Iterable[Case]:
    try:
        if sweep not in sweep_names() or sweep in run.options.sweeps:
            found = run.session.sweep(sweep, kernel) if is_drawn(sweep) else find_sweep(sweep)
        else:
            return ()
        if group is not None and group not in found.groups:
            raise ValueError(f"unknown group {group!r}; allowed: {closest(group, found.groups)}")
    except ValueError as error:
        # pytest shows a CollectError as its text; anything else as a traceback of ours.
        sentence = f"pytest_attn.parametrize(sweep={sweep!r}, group={group!r}), kernel {kernel}: {error}"
        raise pytest.Collector.CollectError(sentence) from None
    if not found and not run.options.case:
        run.drawn_empty.add((kernel, sweep))
    return found.groups[group] if group is not None else found


def _labels(kernels: Sequence[str]) -> dict[str, str]:
    """How an id names each kernel: by its attribute, with its file or module where two attributes are the same."""
    short = {kernel: kernel.rpartition(":")[2] for kernel in kernels}
    count = Counter(short.values())
    homes = {kernel: PurePath(kernel.rpartition(":")[0]).stem for kernel in kernels}
    labels = {kernel: name if count[name] == 1 else f"{homes[kernel]}-{name}" for kernel, name in short.items()}
    return {kernel: label.replace("_", "-") for kernel, label in labels.items()}
