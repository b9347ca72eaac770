"""The same run, dealt out to xdist workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_attn.records.document import read_document

OWN = """
import pathlib
import pytest_attn
import torch

@pytest_attn.parametrize(sweep="smoke", group="smoke_dense")
def test_own(attn):
    attn.check()
    with pathlib.Path("threads.txt").open("a") as lines:
        print(torch.get_num_threads(), file=lines)
"""
ARGUMENTS = ["test_own.py", "--attn-sweep=smoke", "--attn-axis=s=[1,1x127]", "--attn-kernel=sdpa"]


@pytest.fixture(scope="module")
def dealt(tmp_path_factory):
    """A folder, and what a run on two workers printed there."""
    folder = tmp_path_factory.mktemp("dealt")
    (folder / "test_own.py").write_text(OWN)
    command = [sys.executable, "-m", "pytest", *ARGUMENTS, "--attn-output=out", "-n2", "-p", "no:hypothesispytest"]
    # Neither the workers of this run nor a share of the cores that it took is the business of that one.
    of_this_run = ("PYTEST", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(of_this_run)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return folder, done.stdout.splitlines()


def claim(lines):
    return next(line for line in lines if line.startswith("claimed "))


def workers(folder: Path) -> set[str]:
    return {record.worker for record in read_document(folder).records}


def test_the_claim_line_is_the_same_and_the_records_name_their_workers(pytester, dealt):
    pytester.makepyfile(test_own=OWN)
    alone = pytester.runpytest(*ARGUMENTS, "--attn-output=out")
    folder, lines = dealt
    assert claim(alone.outlines) == claim(lines)
    assert workers(pytester.path / "out") == {""}
    assert workers(folder / "out") == {"gw0", "gw1"}


LEAVING = """
import os
import torch

def leaving(query, key, value, scale):
    if query.shape[2] == 127:
        os._exit(0)
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale)
"""


@pytest.fixture
def left(pytester, two_workers):
    """A run in which a worker ends inside a kernel."""
    pytester.makepyfile(kernels=LEAVING)
    cases = ["b1-h1-s64-d32-float32-out-exact", "b1-h1-s127-d32-float32-out-exact", "b1-h1-s63-d32-float32-out-exact"]
    return pytester.runpytest(
        "--pyargs",
        "pytest_attn.suite.test_case",
        "--attn-kernel=kernels.py:leaving",
        "--attn-output=out",
        *[f"--attn-case={case}" for case in cases],
        *two_workers,
    )


def test_the_cell_in_which_a_worker_ends_is_in_the_claim_line(left):
    assert claim(left.outlines).startswith("claimed 3 of 3 | ran 3 | passed 2 | failed 1")
    assert left.ret == pytest.ExitCode.TESTS_FAILED


def test_the_cell_in_which_a_worker_ends_has_a_failed_record(left, records, document):
    (failed,) = [record for record in records() if record.outcome == "failed"]
    assert (failed.case, failed.kernel) == ("b1-h1-s127-d32-float32-out-exact", "kernels.py:leaving")
    assert failed.why == "the process of this xdist worker ended in this cell"
    assert failed.worker in {"gw0", "gw1"}
    assert "--attn-case=b1-h1-s127-d32-float32-out-exact" in failed.reproduce
    assert document().end.failed == 1


def test_each_worker_gets_its_share_of_the_cores(dealt):
    folder, _ = dealt
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert (folder / "threads.txt").read_text().split() == [str(share)] * 6


def test_an_unknown_kernel_is_refused_in_the_one_sentence(refusal):
    assert refusal("-n2", "--attn-kernel=sdp").startswith("--attn-kernel: unknown kernel 'sdp'; allowed: ")


def test_a_bad_option_is_refused_in_the_one_sentence(refusal):
    assert refusal("-n2", "--attn-seed=x") == "--attn-seed: 'x' is no seed; allowed: a whole number"
