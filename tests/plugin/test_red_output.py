"""What a person reads of a red run: short lines for each failure, causes at the very end."""

from __future__ import annotations

import pytest

WRONG = """
import torch
import pytest_attn

def attend(query, key, value, scale, return_lse, base2=False):
    group = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(group, dim=1) for t in (key, value))
    scores = (query.double() @ key.double().mT * scale)
    out, lse = (scores.softmax(dim=3) @ value.double()).to(query.dtype), scores.logsumexp(dim=3)
    lse = (lse / 0.6931471805599453 if base2 else lse).float()
    return (out, lse) if return_lse else out

@pytest_attn.kernel(lse=True)
def last_tile_lost(query, key, value, *, scale, return_lse=False):
    whole = key.shape[2] - key.shape[2] % 64 or key.shape[2]
    return attend(query, key[:, :, :whole], value[:, :, :whole], scale, return_lse)

@pytest_attn.kernel(lse=True, gqa=True)
def two_bugs(query, key, value, *, scale, return_lse=False):
    whole = key.shape[2] - key.shape[2] % 64 or key.shape[2]
    grouped = query.shape[1] != key.shape[1]
    kept = key.shape[2] if grouped else whole
    return attend(query, key[:, :, :kept], value[:, :, :kept], scale, return_lse, base2=grouped)

@pytest_attn.kernel()
def shouts(query, key, value, *, scale):
    raise ValueError("wrong " * 100_000)

@pytest_attn.kernel()
def silent(query, key, value, *, scale):
    class Mute(Exception):
        def __str__(self):
            raise KeyError("no words")
    raise Mute
"""


@pytest.fixture
def red(pytester, monkeypatch):
    """Runs the packaged suite on a wrong kernel."""
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile(wrong=WRONG)

    def run(kernel, *arguments):
        suite = ("--pyargs", "pytest_attn.suite.test_smoke", "--attn-sweep=smoke", "--attn-axis=dtype=[float32]")
        return pytester.runpytest("-q", *suite, f"--attn-kernel=wrong.py:{kernel}", *arguments)

    return run


def tail_of(result):
    """What stands below the heading of the kernels."""
    lines = result.outlines
    return lines[max(n for n, line in enumerate(lines) if "attention kernels" in line) + 1 :]


def test_a_lost_tile_is_one_cause_at_the_very_end(red):
    said = tail_of(red("last_tile_lost"))
    at = next(n for n, line in enumerate(said) if "cells are red [wrong.py:last_tile_lost]: 1 cause" in line)
    assert "not attended to" in said[at + 1]
    assert said[-3].startswith("      smallest: b1-h1-")
    assert "--attn-case=" in said[-2]
    assert " failed, " in said[-1]


def test_two_bugs_of_one_kernel_are_two_causes(red):
    said = "\n".join(tail_of(red("two_bugs")))
    assert "2 causes" in said
    assert "not attended to" in said
    assert "base 2" in said


def test_a_failure_is_its_cause_its_figures_and_a_command(red):
    result = red("last_tile_lost")
    result.stdout.fnmatch_lines(
        ["*[[]wrong.py:last_tile_lost[]]: looks like: *not attended to*", "*row RMS*", "reproduce: *"], consecutive=True
    )


def test_failures_after_the_third_of_a_cause_are_one_line_each(red):
    result = red("last_tile_lost")
    failed = [line for line in result.outlines if "[wrong.py:last_tile_lost]: looks like" in line]
    assert len(failed) > 5
    assert sum(line.startswith("reproduce: ") for line in result.outlines) <= 6


def test_what_is_listed_at_the_end_where_the_user_asks_for_it_says_the_cause(red, monkeypatch):
    monkeypatch.setenv("CI", "true")
    result = red("last_tile_lost", "-rf")
    result.stdout.fnmatch_lines(["FAILED *test_smoke_*] - *not attended to*"])


def test_an_exception_of_megabytes_is_cut_and_names_the_line_of_the_author(red):
    result = red("shouts")
    assert len(str(result.stdout)) < 100_000
    result.stdout.fnmatch_lines(["*: the kernel raised ValueError: wrong wrong * ... (*wrong.py:*)"])


def test_an_exception_without_words_is_named(red):
    red("silent").stdout.fnmatch_lines(["*: the kernel raised Mute: (its message cannot be shown) (*wrong.py:*)"])


def test_causes_are_the_same_through_workers(red):
    pytest.importorskip("xdist")
    said = "\n".join(tail_of(red("two_bugs", "-n", "2")))
    assert "2 causes" in said
