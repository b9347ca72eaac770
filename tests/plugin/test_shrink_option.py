"""--attn-shrink: the smallest case that fails as a failed cell does."""

from __future__ import annotations

import pytest
import torch

from pytest_attn.execution.session import Session
from pytest_attn.problem.case import Case

CASE = "b1-h2-s200x300-d64-float32-both-exact"

WRONG = """
import torch
import pytest_attn
from kernels import dense

def attend(query, key, value, scale, return_lse):
    scores = query @ key.mT * scale
    out = scores.softmax(dim=3) @ value
    return (out, scores.logsumexp(dim=3)) if return_lse else out

@pytest_attn.kernel(lse=True)
def past_100_keys(query, key, value, *, scale, return_lse):
    return attend(query, key[:, :, :100], value[:, :, :100], scale, return_lse)

@pytest_attn.kernel(lse=True, head_dims=(32, 64))
def lse_of_past_100_keys(query, key, value, *, scale, return_lse):
    out = attend(query, key, value, scale, return_lse)
    return (out[0], out[1] + (key.shape[2] > 100)) if return_lse else out

@pytest_attn.kernel(lse=True)
def at_300_keys(query, key, value, *, scale, return_lse):
    return past_100_keys(query, key, value, scale=scale, return_lse=return_lse) if key.shape[2] == 300 else None

@pytest_attn.kernel(lse=True)
def at_this_case(query, key, value, *, scale, return_lse):
    out = attend(query, key, value, scale, return_lse)
    if query.shape != (1, 2, 200, 64) or key.shape[2] != 300 or not return_lse:
        return out
    return out[0] + 1, out[1]
"""


@pytest.fixture(autouse=True)
def wrong(project):
    project.makepyfile(wrong=WRONG)


@pytest.fixture(autouse=True)
def one_thread():
    """A hundred tiny trials wait for each other's threads where other tests keep the cores busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def smallest_lines(result):
    return [line for line in result.outlines if line.startswith("smallest failing case: ")]


def test_the_smallest_case_is_just_above_what_the_kernel_can_do(judge):
    result = judge("--attn-kernel=wrong.py:past_100_keys", "--attn-shrink", case=CASE)
    result.assert_outcomes(failed=1)
    # One query, and the first key that is forgotten.
    assert smallest_lines(result) == ["smallest failing case: b1-h1-s1x101-d1-float32-out-exact"]


def test_the_line_follows_the_command_for_the_cell_itself(judge):
    result = judge("--attn-kernel=wrong.py:past_100_keys", "--attn-shrink", case=CASE)
    result.stdout.fnmatch_lines(
        [f"{CASE} [[]wrong.py:past_100_keys[]]: *", "*", f"reproduce: *={CASE}*", "smallest failing case: *"],
        consecutive=True,
    )


def test_the_record_has_the_smallest_case_and_the_time(judge, records):
    judge("--attn-kernel=wrong.py:past_100_keys", "--attn-shrink", "--attn-output=out", case=CASE)
    (record,) = records()
    assert record.case == CASE
    assert record.smallest == "b1-h1-s1x101-d1-float32-out-exact"
    assert record.seconds["shrink"] > 0


def test_the_smallest_case_fails_alone(judge):
    judge("--attn-kernel=wrong.py:past_100_keys", case="b1-h1-s1x101-d1-float32-out-exact").assert_outcomes(failed=1)


def test_only_what_the_kernel_claims_is_tried(judge):
    result = judge("--attn-kernel=wrong.py:lse_of_past_100_keys", "--attn-shrink", case=CASE)
    assert smallest_lines(result) == ["smallest failing case: b1-h1-s1x101-d32-float32-lse-exact"]


def test_a_smaller_case_that_fails_for_another_reason_does_not_count(judge):
    # Elsewhere it returns None.
    result = judge("--attn-kernel=wrong.py:at_300_keys", "--attn-shrink", case=CASE)
    assert smallest_lines(result) == ["smallest failing case: b1-h1-s1x300-d1-float32-out-exact"]


def test_a_case_that_is_the_smallest_itself_gets_no_line(judge, records):
    result = judge("--attn-kernel=wrong.py:at_this_case", "--attn-shrink", "--attn-output=out", case=CASE)
    result.assert_outcomes(failed=1)
    assert smallest_lines(result) == []
    assert records()[0].smallest == CASE


def test_without_the_option_the_first_cell_of_a_cause_is_shrunk_for_a_moment(judge, records):
    more = [f"--attn-case=b1-h1-s{length}-d16-float32-out-exact" for length in range(231, 234)]
    judge("--attn-kernel=wrong.py:past_100_keys", "--attn-output=out", *more, case=CASE)
    assert [record.smallest != "" for record in records()] == [True, False, False, False]
    assert 0 < records()[0].seconds["shrink"] < 10


def test_nothing_is_looked_for_where_the_user_gives_no_time(judge, records):
    result = judge("--attn-kernel=wrong.py:past_100_keys", "--attn-output=out", "--attn-shrink=0", case=CASE)
    assert smallest_lines(result) == []
    assert records()[0].smallest == ""


def test_a_green_cell_is_not_shrunk(judge, records):
    judge("--attn-kernel=kernels.py:dense", "--attn-shrink", "--attn-output=out").assert_outcomes(passed=1)
    assert records()[0].smallest == ""


def test_the_first_five_failed_cells_are_shrunk(judge, records):
    more = [f"--attn-case=b1-h1-s{length}-d16-float32-out-exact" for length in range(201, 207)]
    arguments = ["--attn-kernel=wrong.py:past_100_keys", "--attn-shrink=1e-9", "--attn-output=out"]
    judge(*arguments, *more, case=CASE).assert_outcomes(failed=7)
    assert [record.smallest != "" for record in records()] == [True] * 5 + [False] * 2


def test_shrinking_leaves_no_file_in_the_cache(judge, pytester, monkeypatch):
    monkeypatch.setattr("pytest_attn.oracles.cache.LEAST_SECONDS", 0.0)
    judge("--attn-kernel=wrong.py:past_100_keys", "--attn-shrink", "--attn-cache=references", case=CASE)
    assert len([*(pytester.path / "references").iterdir()]) == 1


def test_the_seconds_bound_the_search(judge, records):
    arguments = ["--attn-kernel=wrong.py:past_100_keys", "--attn-shrink=1e-9", "--attn-output=out"]
    judge(*arguments, case=CASE).assert_outcomes(failed=1)
    assert records()[0].smallest == CASE


def test_a_reference_that_cannot_be_had_does_not_lose_the_verdict(judge, monkeypatch):
    whole = Session.reference

    def small_ones_fail(session, case, problem, inputs):
        if case.key_length < 300:
            raise RuntimeError("no reference")
        return whole(session, case, problem, inputs)

    monkeypatch.setattr(Session, "reference", small_ones_fail)
    result = judge("--attn-kernel=wrong.py:past_100_keys", "--attn-shrink", case=CASE)
    result.assert_outcomes(failed=1)
    (line,) = smallest_lines(result)
    assert Case.parse(line.removeprefix("smallest failing case: ")).key_length == 300


@pytest.mark.parametrize(("given", "shown"), [("--attn-shrink", "20 s"), ("--attn-shrink=0.5", "0.5 s")])
def test_the_header_says_for_how_long(judge, given, shown):
    judge(given).stdout.fnmatch_lines([f"attn *, shrink: {shown} per failed cell*"])


def test_the_ini_twin_sets_it(judge, pytester, records):
    pytester.makeini("[pytest]\nattn_shrink = 1e-9")
    judge("--attn-kernel=wrong.py:past_100_keys", "--attn-output=out", case=CASE)
    assert records()[0].smallest == CASE


@pytest.mark.parametrize("value", ["-1", "nan", "soon", ""])
def test_what_is_no_time_is_refused(refusal, value):
    said = refusal(f"--attn-shrink={value}")
    assert said == f"--attn-shrink: {value!r} is no time; allowed: seconds, 0 for not at all, as in --attn-shrink=20"


def test_a_path_taken_for_the_time_is_refused_in_words_that_help(refusal):
    said = refusal("--attn-shrink", "tests")
    assert said == "--attn-shrink: 'tests' is no time; allowed: seconds, 0 for not at all, as in --attn-shrink=20"


def test_what_is_no_time_is_refused_in_the_ini_file(refusal, pytester):
    pytester.makeini("[pytest]\nattn_shrink = soon")
    said = refusal()
    assert said == "attn_shrink: 'soon' is no time; allowed: seconds, 0 for not at all, as in --attn-shrink=20"
