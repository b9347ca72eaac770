"""--attn-output: the document of a run as JSON lines."""

from __future__ import annotations

import pytest

from pytest_attn.records.document import FILE, DocumentFile
from pytest_attn.records.record import Record

LSE_CASE = "b1-h1-s64-d32-float32-lse-exact"
CASE = "b1-h1-s64-d32-float32-out-exact"
BFLOAT16_CASE = "b1-h1-s64-d32-bfloat16-out-exact"
KERNELS = ["--attn-kernel=kernels.py:dense", "--attn-kernel=kernels.py:none"]
OUTCOMES = [
    ("kernels.py:dense", "lse-exact", "not claimed"),
    ("kernels.py:dense", "out-exact", "passed"),
    ("kernels.py:none", "lse-exact", "not claimed"),
    ("kernels.py:none", "out-exact", "failed"),
]


def outcomes(records):
    return sorted((record.kernel, record.case[-9:], record.outcome) for record in records)


def test_each_cell_is_one_object(judge, records):
    judge("--attn-output=out", f"--attn-case={LSE_CASE}", *KERNELS)
    assert outcomes(records()) == OUTCOMES


def test_each_cell_is_one_object_with_xdist_too(judge, records, two_workers):
    judge("--attn-output=out", f"--attn-case={LSE_CASE}", *KERNELS, *two_workers)
    assert outcomes(records()) == OUTCOMES


def test_the_first_line_is_the_run(judge, document):
    judge("--attn-output=out", "--attn-seed=7", KERNELS[0])
    start = document().start
    assert "--attn-seed=7" in start.command
    assert (start.options["kernel"], start.options["budget"], start.seed) == (["kernels.py:dense"], 80.0, 7)
    assert (start.devices, start.unit, start.workers) == (("cpu",), "", 1)
    assert start.machine
    assert {"python", "torch", "pytest-attn"} <= set(start.versions)


def test_the_last_line_is_how_it_ended(judge, document):
    judge("--attn-output=out", *KERNELS)
    end = document().end
    assert (end.complete, end.status, end.failed, end.faults) == (True, 1, 1, ())


def test_a_run_that_is_not_green_though_its_cells_are_says_why(judge, document):
    judge("--attn-output=out", "--attn-require=5", KERNELS[0])
    assert document().end.faults == ("1 cells were judged, --attn-require asks for 5",)


def test_the_commit_of_the_project_is_named(judge, document, pytester):
    git = ("git", "-c", "user.name=me", "-c", "user.email=me@here")
    for words in (("init", "-q"), ("add", "kernels.py"), ("commit", "-qm", "first")):
        pytester.run(*git, *words)
    judge("--attn-output=out", "-p", "no:cacheprovider", KERNELS[0])
    start = document().start
    assert len(start.commit) == 40
    assert start.dirty


def test_a_project_without_a_repository_has_no_commit(judge, document):
    judge("--attn-output=out", KERNELS[0])
    assert (document().start.commit, document().start.dirty) == ("", False)


def test_a_passed_cell_has_figures_seconds_and_flops(judge, records):
    judge("--attn-output=out")
    (record,) = records()
    assert record.figures["out_rms"] > 0
    assert set(record.seconds) == {"inputs", "kernel", "oracle", "judge"}
    assert record.fields["head_dim"] == 32
    assert record.attempt == 1
    assert record.flops == 4 * 32 * 64 * 64


def test_a_failed_cell_says_why_and_how_to_see_it_again(judge, records):
    judge("--attn-output=out", "--attn-kernel=kernels.py:none")
    (record,) = records()
    assert record.reason == "out: the kernel returned None, expected a tensor or (out, lse)"
    assert f"--attn-case={record.case}" in record.reproduce


def test_a_skipped_cell_says_why(judge, records):
    judge("--attn-output=out", "--attn-budget=1e-9")
    assert records()[0].reason == "not here: over the FLOP budget"


def test_what_the_judge_found_is_data(judge, records):
    judge("--attn-output=out", "--attn-kernel=kernels.py:shifted")
    (finding, *_) = records()[0].findings
    assert finding.tensor == "out"
    assert finding.figure > finding.limit > 0
    assert (finding.place.head, finding.place.of) == (0, 64)


def test_the_kernel_is_named_with_its_place(judge, records, pytester):
    judge("--attn-output=out", KERNELS[0])
    source = records()[0].source
    line = next(
        at for at, text in enumerate((pytester.path / "kernels.py").read_text().splitlines(), 1) if "def dense" in text
    )
    assert (source.spec, source.file, source.line) == ("kernels.py:dense", str(pytester.path / "kernels.py"), line)
    assert source.hash


def test_a_statistic_that_is_not_finite_comes_back(judge, records, pytester):
    pytester.makepyfile(
        huge="from kernels import dense\ndef huge(*given, scale):\n    return dense(*given, scale) + 3e38"
    )
    judge("--attn-output=out", "--attn-kernel=huge.py:huge", case=BFLOAT16_CASE)
    assert records()[0].figures["out_rms"] == float("inf")


def test_the_next_run_replaces_them(judge, records):
    judge("--attn-output=out", *KERNELS)
    judge("--attn-output=out")
    assert len(records()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["--collect-only"], ["--attn-kernel=typo"], ["--attn-seed=x"], ["-k", "nothing"]],
    ids=["collect-only", "unknown-kernel", "bad-seed", "no-cell"],
)
def test_no_evidence_of_an_earlier_run_is_left(judge, document, arguments):
    judge("--attn-output=out", KERNELS[1])
    assert document().failed
    judge("--attn-output=out", *arguments)
    assert document().records == ()


@pytest.mark.parametrize(
    ("option", "sentence"), [("kernel=typo", "unknown kernel 'typo'"), ("seed=x", "'x' is no seed")]
)
def test_a_run_that_was_refused_says_why(judge, document, option, sentence):
    judge("--attn-output=out", f"--attn-{option}")
    end = document().end
    assert (end.complete, end.status) == (False, 4)
    assert sentence in end.faults[0]


def test_what_an_earlier_version_wrote_is_gone(judge, pytester):
    pytester.mkdir("out")
    for name in ("records.jsonl", "decisions.json"):
        (pytester.path / "out" / name).write_text("{}")
    judge("--attn-output=out", KERNELS[0])
    assert [path.name for path in (pytester.path / "out").iterdir()] == [FILE]


KILLED = """
import os, signal
import pytest_attn
from kernels import dense

calls = 0

def killed(*given, scale):
    global calls
    calls += 1
    if calls > 12:
        os.kill(os.getpid(), signal.SIGKILL)
    return dense(*given, scale=scale)
"""


def test_a_killed_run_keeps_what_it_found(pytester, document):
    pytester.makepyfile(killed=KILLED)
    suite = ("--pyargs", "pytest_attn.suite.test_smoke", "-k", "smoke_output")
    result = pytester.runpytest_subprocess(*suite, "--attn-output=out", "--attn-kernel=killed.py:killed")
    assert result.ret == -9
    found = document()
    assert found.end is None
    assert not found.complete
    assert {record.outcome for record in found.records} >= {"passed"}


def test_a_run_that_is_interrupted_is_not_complete(judge, document, pytester):
    pytester.syspathinsert()
    pytester.makepyfile(ends="import pytest\ndef pytest_runtest_teardown(item): pytest.exit('enough')")
    judge("--attn-output=out", KERNELS[0], "-p", "ends")
    assert (document().complete, len(document().records)) == (False, 1)


RERUN = """
def pytest_collection_modifyitems(items):
    items[:] = items * 2
"""


def test_each_run_of_a_cell_has_its_attempt(judge, document, pytester):
    pytester.syspathinsert()
    pytester.makepyfile(rerun=RERUN)
    judge("--attn-output=out", f"--attn-case={LSE_CASE}", "--attn-kernel=sdpa", "-p", "rerun")
    attempts = sorted((record.case, record.attempt) for record in document().records)
    assert attempts == [(LSE_CASE, 1), (LSE_CASE, 2), (CASE, 1), (CASE, 2)]


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
    assert not list(pytester.path.rglob(FILE))


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
    def full(self, content):
        if isinstance(content, Record):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(DocumentFile, "write", full)
    result = judge("--attn-output=out")
    result.stdout.fnmatch_lines(["*passed 1*", f"not green: --attn-output: out/{FILE} could not be written: No space*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
