"""Fixtures and how tests are parametrized with them: translation between pytest and the session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_attn.options.options import Options
from pytest_attn.plugin.marks import CELLS
from pytest_attn.plugin.run import RUN
from pytest_attn.problem.case import Case
from pytest_attn.problem.frame import BLOCK_SHAPES, FrameWidths
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.problem.vocabulary import DTYPES
from pytest_attn.records.record import Record
from pytest_attn.text import closest

if TYPE_CHECKING:
    import torch

    from pytest_attn.execution.cell import Cell
    from pytest_attn.judge.verdict.verdict import Verdict
    from pytest_attn.kernels.kernel import Kernel

RECORD = pytest.StashKey[Record]()
"""On a test item: what became of its cell."""

CELL_FIXTURES = ("attn", "problem", "attn_cell")
DEFAULT_SWEEP = "smoke"


class CellParameter(NamedTuple):
    """What a test of a sweep is parametrized with: plain data."""

    sweep: str
    kernel: str
    case: Case


class Attn:
    """One kernel on one case, in a test. `check()` is the whole test; the rest is for tests that look closer."""

    def __init__(self, cell: Cell, item: pytest.Item) -> None:
        self._cell = cell
        self._item = item

    def __getattr__(self, name: str) -> Any:
        # case, kernel, problem, inputs, reference, run and judge are those of the cell.
        return getattr(self._cell, name)

    def judge(self) -> Verdict:
        """The verdict on one run of the kernel."""
        return self._cell.judge()

    def check(self) -> None:
        """Run the kernel, judge it, and fail the test where it is wrong."""
        __tracebackhide__ = True
        try:
            record = self._cell.record()
        except pytest.skip.Exception as skip:
            # A kernel may refuse by its capabilities; a skip from inside would be a cell that nobody counts.
            record = self._cell.failed(f"the kernel skipped the test: {skip}")
        self._item.stash[RECORD] = record
        if record.outcome == "failed":
            pytest.fail(record.message, pytrace=False)
        if not record.ran:
            pytest.skip(record.reason)


def generate_tests(metafunc: pytest.Metafunc, options: Options) -> None:
    """Parametrize a test that uses our fixtures: with the cells of a sweep, or with the values of plain axes."""
    names = _ours(metafunc)
    marker = metafunc.definition.get_closest_marker(CELLS)
    if marker or any(name in names for name in CELL_FIXTURES):
        wanted = marker.kwargs if marker else {"sweep": None, "group": None}
        default = "latency" if "attn_benchmark" in names else DEFAULT_SWEEP
        cells = _cells(wanted["sweep"], wanted["group"], options, default)
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


def _ours(metafunc: pytest.Metafunc) -> set[str]:
    """Our fixtures that a test uses and its author neither parametrized nor replaced."""
    names = set(metafunc.fixturenames)
    for mark in metafunc.definition.iter_markers("parametrize"):
        argnames = mark.args[0] if mark.args else mark.kwargs["argnames"]
        names -= set(argnames.replace(",", " ").split() if isinstance(argnames, str) else argnames)
    # pytest has no public way to ask where a fixture was defined.
    definitions, homes = metafunc._arg2fixturedefs, (__name__, "pytest_attn.plugin.latency")
    return {name for name in names if name in definitions and definitions[name][-1].func.__module__ in homes}


def select(items: list[pytest.Item], options: Options) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """(kept, left out): cells that `--attn-sweep`, `--attn-axis` and `--attn-case` leave out are deselected."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (kept if _runs(item, options) else left_out).append(item)
    return kept, left_out


def _parameters(item: pytest.Item) -> dict[str, object]:
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}


def parameter_of(item: pytest.Item) -> CellParameter | None:
    """The cell of a sweep that the item is parametrized with; None where there is none."""
    parameter = _parameters(item).get("attn_cell")
    return parameter if isinstance(parameter, CellParameter) else None


def _runs(item: pytest.Item, options: Options) -> bool:
    if "attn_cell" not in _parameters(item):
        return True
    cell = parameter_of(item)
    # Without --attn-case, pytest makes one item of the empty list of cases, with a placeholder for its cell.
    return cell is not None and (not cell.sweep or options.keeps(cell.sweep, cell.case))


def _cells(sweep: str | None, group: str | None, options: Options, default: str) -> list[CellParameter]:
    if group == CASES_GIVEN:
        cells = [("", case) for case in options.case]
    elif sweep is None:
        names = options.sweep or (default,)
        cells = [(name, case) for name in names for case in find_sweep(name)]
    else:
        cells = [(sweep, case) for case in _cases(sweep, group)]
    return [CellParameter(name, kernel, case) for kernel in options.kernel for name, case in cells]


def _cases(sweep: str, group: str | None) -> Iterable[Case]:
    try:
        found = find_sweep(sweep)
        if group is not None and group not in found.groups:
            raise ValueError(f"unknown group {group!r}; allowed: {closest(group, found.groups)}")
    except ValueError as error:
        # pytest shows a CollectError as its text; anything else as a traceback of ours.
        sentence = f"pytest_attn.parametrize(sweep={sweep!r}, group={group!r}): {error}"
        raise pytest.Collector.CollectError(sentence) from None
    return found.groups[group] if group is not None else found


CASES_GIVEN = "cases given"
"""The group of the cases of `--attn-case`."""


def _labels(kernels: Sequence[str]) -> dict[str, str]:
    """How an id names each kernel: by its attribute, with its file or module where two attributes are the same."""
    short = {kernel: kernel.rpartition(":")[2] for kernel in kernels}
    count = Counter(short.values())
    homes = {kernel: PurePath(kernel.rpartition(":")[0]).stem for kernel in kernels}
    labels = {kernel: name if count[name] == 1 else f"{homes[kernel]}-{name}" for kernel, name in short.items()}
    return {kernel: label.replace("_", "-") for kernel, label in labels.items()}


@pytest.fixture
def attn_cell(request: pytest.FixtureRequest) -> Cell:
    """The cell of a parametrized test; skips the test where the cell does not run."""
    parameter: CellParameter = request.param
    run = request.config.stash[RUN]
    cell = run.session.cell(parameter.kernel, parameter.case)
    skipped = cell.skipped()
    if skipped is not None:
        skipped = run.required(skipped)
        request.node.stash[RECORD] = skipped
        if skipped.outcome == "failed":
            pytest.fail(skipped.message, pytrace=False)
        pytest.skip(skipped.reason)
    return cell


@pytest.fixture
def attn(attn_cell: Cell, request: pytest.FixtureRequest) -> Attn:
    """One kernel on one case: `attn.check()` runs and judges it."""
    return Attn(attn_cell, request.node)


@pytest.fixture
def problem(attn_cell: Cell) -> Any:
    """The `Problem` of the case."""
    return attn_cell.problem


def _cell_of(request: pytest.FixtureRequest) -> Cell | None:
    return request.getfixturevalue("attn_cell") if "attn_cell" in request.fixturenames else None


@pytest.fixture
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """The `Kernel` under test."""
    cell = _cell_of(request)
    return cell.kernel if cell else request.config.stash[RUN].session.kernel(request.param)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    """The `torch.device` that kernels run on (`--attn-device`)."""
    return request.config.stash[RUN].session.device.torch


@pytest.fixture
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    """The `torch.dtype` of the case; without a case, each of bfloat16, float16 and float32."""
    from pytest_attn.problem.problem import torch_dtype

    cell = _cell_of(request)
    return torch_dtype(cell.case.dtype if cell else request.param)


@pytest.fixture
def block_shape(request: pytest.FixtureRequest) -> tuple[int, int] | None:
    """(query block, key block) of the case, None where it has none; without a case, each of the 16 published ones."""
    cell = _cell_of(request)
    return cell.case.block_shape if cell else request.param


@pytest.fixture
def frame_widths(request: pytest.FixtureRequest, block_shape: tuple[int, int] | None) -> FrameWidths:
    """The `FrameWidths` of the case; without a case, none and the published small frame of each block shape."""
    cell = _cell_of(request)
    if cell:
        return cell.case.frame or FrameWidths()
    return FrameWidths.small(block_shape) if request.param and block_shape else FrameWidths()
