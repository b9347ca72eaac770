"""The same run, dealt out to xdist workers."""

from __future__ import annotations

import os

import pytest

ARGUMENTS = ["--pyargs", "pytest_attn.suite.test_smoke", "--attn-axis=s=[1,1x127]", "--attn-kernel=sdpa"]


@pytest.fixture
def threads(pytester):
    """The thread counts that the workers of a run see."""
    pytester.makepyfile(
        test_threads="""
        import pathlib
        import pytest_attn
        import torch

        @pytest_attn.parametrize(sweep="smoke", group="smoke_dense")
        def test_threads(attn):
            with pathlib.Path("threads.txt").open("a") as lines:
                print(torch.get_num_threads(), file=lines)
        """
    )

    def counts(*arguments):
        pytester.runpytest("test_threads.py", "--attn-axis=s=[1,1x127]", *arguments)
        return (pytester.path / "threads.txt").read_text().split()

    return counts


def claim(result):
    return next(line for line in result.outlines if line.startswith("claimed "))


def test_the_claim_line_is_the_same_and_the_records_name_their_workers(pytester, records, two_workers):
    alone = pytester.runpytest(*ARGUMENTS, "--attn-output=alone")
    dealt = pytester.runpytest(*ARGUMENTS, "--attn-output=dealt", *two_workers)
    assert claim(alone) == claim(dealt)
    assert {record.worker for record in records("alone")} == {""}
    assert {record.worker for record in records("dealt")} == {"gw0", "gw1"}


def test_each_worker_gets_its_share_of_the_cores(threads, two_workers):
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert threads(*two_workers) == [str(share)] * 6


def test_an_unknown_kernel_is_refused_in_the_one_sentence(refusal):
    assert refusal("-n2", "--attn-kernel=sdp").startswith("--attn-kernel: unknown kernel 'sdp'; allowed: ")


def test_a_bad_option_is_refused_in_the_one_sentence(refusal):
    assert refusal("-n2", "--attn-seed=x") == "--attn-seed: 'x' is no seed; allowed: a whole number"
