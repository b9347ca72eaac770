"""--attn-output: the records of a run as JSON lines."""

from __future__ import annotations

import pytest

from pytest_attn.records.record import SCHEMA_VERSION, Record

FIELDS = {
    *("case", "kernel", "outcome", "reason", "reproduce", "figures", "seconds", "device", "oracle", "tolerance"),
    *("seed", "flops", "worker", "schema"),
}
LSE_CASE = "b1-h1-s64-d32-float32-lse-exact"
BFLOAT16_CASE = "b1-h1-s64-d32-bfloat16-out-exact"
KERNELS = ["--attn-kernel=kernels.py:dense", "--attn-kernel=kernels.py:none"]
OUTCOMES = [
    ("kernels.py:dense", "lse-exact", "not claimed"),
    ("kernels.py:dense", "out-exact", "passed"),
    ("kernels.py:none", "lse-exact", "not claimed"),
    ("kernels.py:none", "out-exact", "failed"),
]


def outcomes(records):
    return sorted((record["kernel"], record["case"][-9:], record["outcome"]) for record in records)


def test_each_cell_is_one_object(judge, records):
    judge("--attn-output=out", f"--attn-case={LSE_CASE}", *KERNELS)
    assert outcomes(records()) == OUTCOMES


def test_each_cell_is_one_object_with_xdist_too(judge, records, two_workers):
    judge("--attn-output=out", f"--attn-case={LSE_CASE}", *KERNELS, *two_workers)
    assert outcomes(records()) == OUTCOMES


def test_each_object_has_the_fields_of_its_schema(judge, records):
    judge("--attn-output=out")
    assert set(records()[0]) >= FIELDS
    assert records()[0]["schema"] == SCHEMA_VERSION


def test_a_passed_cell_has_figures_seconds_and_flops(judge, records):
    judge("--attn-output=out")
    (record,) = records()
    assert record["figures"]["out_rms"] > 0
    assert set(record["seconds"]) == {"inputs", "kernel", "oracle", "judge"}
    assert record["flops"] == 4 * 32 * 64 * 64


def test_a_failed_cell_says_why_and_how_to_see_it_again(judge, records):
    judge("--attn-output=out", "--attn-kernel=kernels.py:none")
    (record,) = records()
    assert record["reason"] == "out: the kernel returned None, expected a tensor or (out, lse)"
    assert f"--attn-case={record['case']}" in record["reproduce"]


def test_a_skipped_cell_says_why(judge, records):
    judge("--attn-output=out", "--attn-budget=1e-9")
    assert records()[0]["reason"] == "not here: over the FLOP budget"


def test_a_statistic_that_is_not_finite_is_null(judge, records, pytester):
    pytester.makepyfile(
        huge="from kernels import dense\ndef huge(*given, scale):\n    return dense(*given, scale) + 3e38"
    )
    judge("--attn-output=out", "--attn-kernel=huge.py:huge", case=BFLOAT16_CASE)
    assert records()[0]["figures"]["out_rms"] is None


def test_the_next_run_replaces_them(judge, records):
    judge("--attn-output=out", *KERNELS)
    judge("--attn-output=out")
    assert len(records()) == 1


@pytest.mark.parametrize("arguments", [["--collect-only"], ["--help"], ["--attn-kernel=typo"]], ids=lambda a: a[0])
def test_what_runs_no_test_leaves_them(judge, records, arguments):
    judge("--attn-output=out")
    judge("--attn-output=out", *arguments)
    assert len(records()) == 1


def test_folders_on_the_way_are_made(judge, records):
    judge("--attn-output=deep/down")
    assert len(records("deep/down")) == 1


def test_a_test_that_changes_directory_does_not_move_it(pytester, records):
    pytester.makepyfile(
        test_moves="""
        import pytest_attn

        @pytest_attn.parametrize(sweep="smoke", group="smoke_dense")
        def test_moves(attn, tmp_path, monkeypatch):
            import os
            os.chdir(tmp_path)
            attn.check()
        """
    )
    pytester.runpytest("test_moves.py", "--attn-output=out", "--attn-axis=s=1", "--attn-axis=dtype=float32")
    assert len(records()) == 1


def test_without_it_nothing_is_written(judge, pytester):
    judge()
    assert not list(pytester.path.rglob("records.jsonl"))


def test_the_ini_twin_sets_it(judge, records, pytester):
    pytester.makeini("[pytest]\nattn_output = out")
    judge()
    assert len(records()) == 1


def test_a_file_in_its_place_is_refused(refusal):
    said = refusal("--attn-output=kernels.py")
    assert said.startswith("--attn-output: kernels.py cannot be written: ")


def test_an_empty_path_is_refused(refusal):
    said = refusal("--attn-output=")
    assert said.startswith("--attn-output: ")
    assert "allowed: " in said


def test_a_disk_that_is_full_in_the_middle_ends_red_with_a_sentence(judge, monkeypatch):
    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Record, "to_json", full)
    result = judge("--attn-output=out")
    result.stdout.fnmatch_lines(
        ["*passed 1*", "not green: --attn-output: *records.jsonl could not be written: No space*"]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
