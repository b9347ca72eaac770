"""What a test of one cell holds in its hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_attn.records.record import Record

if TYPE_CHECKING:
    from pytest_attn.bench.measurement import Measurement
    from pytest_attn.execution.cell import Cell
    from pytest_attn.judge.verdict.verdict import Verdict
    from pytest_attn.kernels.kernel import Kernel
    from pytest_attn.oracles.reference import Reference
    from pytest_attn.problem.case import Case
    from pytest_attn.problem.inputs import Inputs
    from pytest_attn.problem.problem import Problem

RECORD = pytest.StashKey[Record]()
"""On a test item: what became of its cell."""

MEASUREMENT: pytest.StashKey[Measurement] = pytest.StashKey()
"""On a test item: how fast the kernel is, once all of it is measured."""

ATTEMPT = pytest.StashKey[int]()
"""On a test item: how often its cell was set up."""


class Attn:
    """One kernel on one case, in a test. `check()` is the whole test; the rest is for tests that look closer."""

    def __init__(self, cell: Cell, item: pytest.Item) -> None:
        self._cell = cell
        self._item = item

    @property
    def case(self) -> Case:
        """The case, as plain data."""
        return self._cell.case

    @property
    def kernel(self) -> Kernel:
        """The kernel under test, with its claims."""
        return self._cell.kernel

    @property
    def problem(self) -> Problem:
        """The problem of the case: shapes, dtype, scale and mask."""
        return self._cell.problem

    @property
    def inputs(self) -> Inputs:
        """Query, key and value on the device; do not write into them."""
        return self._cell.inputs

    @property
    def reference(self) -> Reference:
        """The true result, from the oracle that the case names."""
        return self._cell.reference

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent on this cell until now, by part."""
        return self._cell.seconds

    def run(self) -> Any:
        """What the kernel returns for a copy of the inputs, as it is. Raises whatever the kernel raises."""
        return self._cell.run()

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
        keep(self._item, record)
        if record.outcome == "failed":
            pytest.fail(record.message, pytrace=False)
        if not record.ran:
            pytest.skip(record.reason)

    def measure(self, *, rounds: int, cold: bool, memory: bool) -> Measurement:
        """How fast the kernel is on the case, from `rounds` beside its control; fails the test where a timed call is
        wrong."""
        __tracebackhide__ = True
        return self._right_when_timed(lambda: self._cell.measure(rounds=rounds, cold=cold, memory=memory))

    def measure_more(self, before: Measurement, *, rounds: int, number: int) -> Measurement:
        """The measurement `before` with further rounds, those of repetition `number`; fails the test where a timed call
        is wrong."""
        __tracebackhide__ = True
        return self._right_when_timed(lambda: self._cell.measure_more(before, rounds=rounds, number=number))

    def _right_when_timed(self, measure: Callable[[], Measurement]) -> Measurement:
        __tracebackhide__ = True
        from pytest_attn.bench.measure import WrongWhenTimedError

        try:
            return measure()
        except WrongWhenTimedError as error:
            self._fail(self._cell.failed(verdict=error.verdict))

    def fail(self, why: str) -> NoReturn:
        """Fail the test, and the cell, for another reason than what the judge found."""
        __tracebackhide__ = True
        self._fail(self._cell.failed(why))

    def _fail(self, record: Record) -> NoReturn:
        __tracebackhide__ = True
        keep(self._item, record)
        pytest.fail(record.message, pytrace=False)


def keep(item: pytest.Item, record: Record) -> None:
    """Keep what became of the cell of an item."""

    item.stash[RECORD] = replace(record, attempt=item.stash.get(ATTEMPT, 1))
