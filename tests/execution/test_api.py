"""Judging without pytest gives what a run of pytest gives."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pytest_attn
from pytest_attn.kernels.resolve import find_kernel
from pytest_attn.records.document import read_document
from pytest_attn.records.record import Record

CASES = ["b1-h1-s8-d8-float32-out-exact", "b1-h1-s8-d8-float32-both-exact", "b1-h1-s8-d8-float32-causal-out-exact"]
KERNEL = """
import pytest_attn

@pytest_attn.kernel(causal=True)
def wrong(query, key, value, *, scale, causal):
    scores = query @ key.mT * scale
    return scores.softmax(dim=3) @ value
"""


def timeless(record: Record) -> Record:
    return replace(record, seconds={})


def test_the_records_are_those_of_a_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    file = pytester.makepyfile(kernel=KERNEL)
    words = ["--pyargs", "pytest_attn.suite.test_case", f"--attn-kernel={file}:wrong", "--attn-output=out"]
    pytester.runpytest(*words, "--attn-require=claimed", *(f"--attn-case={case}" for case in CASES))
    of_a_run = [timeless(record) for record in read_document(pytester.path / "out").records]
    assert [record.outcome for record in of_a_run] == ["passed", "failed", "failed"]
    find_kernel(f"{file}:wrong")
    [module] = [m for m in list(sys.modules.values()) if getattr(m, "__file__", None) == str(file)]
    own = pytest_attn.check_kernel(module.wrong, case=CASES, require="claimed")
    assert [timeless(record) for record in own] == of_a_run


def test_what_is_required_and_not_claimed_fails() -> None:
    [record] = pytest_attn.check_kernel(lambda query, key, value: value, case=CASES[1], require="claimed")
    assert (record.outcome, record.reason) == (
        "failed",
        "not claimed: lse, and --attn-require=claimed allows no such skip",
    )


def test_a_number_of_cells_cannot_be_required() -> None:
    with pytest.raises(
        ValueError, match=r"^require=\('here', 2\): a number is of a run of pytest; allowed: here, claimed$"
    ):
        pytest_attn.check_kernel("eager", case=CASES[0], require=("here", 2))


def test_values_that_no_claimed_cell_has_are_refused_and_not_a_green_list_of_nothing() -> None:
    with pytest.raises(ValueError, match=r"^axis=\['layout=strided'\]: no cell has all of these values; allowed: "):
        pytest_attn.check_kernel(lambda query, key, value: value, sweep="decode", axis=["layout=strided"])


@pytest.mark.parametrize(
    ("kernel", "says"),
    [
        (3, "check_kernel: it is of type int; allowed: a function"),
        (Record, "check_kernel: Record is a class without prepare; allowed: a function"),
        ("eagre", "unknown kernel 'eagre'; allowed: .*eager"),
    ],
)
def test_what_is_no_kernel_is_refused(kernel: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"^{says}"):
        pytest_attn.check_kernel(kernel, case=CASES[0])


def test_the_document_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    records = pytest_attn.check_kernel("eager", case=CASES, output=tmp_path / "out")
    found = read_document(tmp_path / "out")
    assert found.records == tuple(records)
    assert (found.complete, found.start.options["case"]) == (True, [*CASES])
