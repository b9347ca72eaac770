"""`python -m pytest_attn`, as a user types it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_attn.__main__ import main
from pytest_attn.problem import sweep
from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep
from pytest_attn.records.document import FILE, DocumentFile, read_document
from pytest_attn.records.record import Record
from pytest_attn.records.run import RunStart

KERNEL = Path(__file__).parent.parent / "examples" / "my_flash.py"
CASE = "b1-h1-s64-d32-float32-both-exact"
OUT = "b1-h1-s64-d32-float32-out-exact"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "pytest_attn", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_check_judges_a_kernel_from_any_directory(tmp_path: Path) -> None:
    found = run("check", f"{KERNEL}:my_flash", "pytest_attn.suite.test_case", f"--attn-case={CASE}", cwd=tmp_path)
    assert "claimed 1 of 1 | ran 1 | passed 1 | failed 0" in found.stdout, found.stdout + found.stderr
    assert found.returncode == 0


def test_check_passes_arguments_and_exit_status_on(tmp_path: Path) -> None:
    found = run("check", "sdpaa", "pytest_attn.suite.test_case", f"--attn-case={CASE}", "-q", cwd=tmp_path)
    assert "--attn-kernel: unknown kernel 'sdpaa'; allowed:" in found.stderr
    assert found.returncode == 4


def test_check_leaves_no_empty_folder_of_benchmarks(tmp_path: Path) -> None:
    run("check", "sdpa", "pytest_attn.suite.test_case", f"--attn-case={OUT}", cwd=tmp_path)
    assert not (tmp_path / ".benchmarks").exists()


def test_check_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / ".benchmarks").mkdir()
    run("check", "sdpa", "pytest_attn.suite.test_case", f"--attn-case={OUT}", cwd=tmp_path)
    assert (tmp_path / ".benchmarks").exists()


LEAVING = """
import os
import torch

def leaving(query, key, value, scale):
    if query.shape[2] == 65:
        os._exit(0)
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scale)

def falling(query, key, value, scale):
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(
    ("kernel", "sentence"),
    [
        (
            "leaving",
            f"the process ended with status 0 before pytest did, after {OUT} [kernels.py:leaving], the last cell that "
            "had a record",
        ),
        ("falling", "the process was ended by signal 9 (Killed) before pytest did, before a cell had a record"),
    ],
)
def test_check_is_not_green_where_the_process_ends_inside_a_kernel(tmp_path: Path, kernel: str, sentence: str) -> None:
    (tmp_path / "kernels.py").write_text(LEAVING)
    cases = [f"--attn-case={case}" for case in (OUT, OUT.replace("s64", "s65"))]
    found = run("check", f"kernels.py:{kernel}", "pytest_attn.suite.test_case", *cases, cwd=tmp_path)
    assert found.stderr == f"check: {sentence}\n"
    assert found.returncode == 3


@pytest.mark.parametrize(
    ("file", "when"), [("kernels.py", "before a cell had a record"), ("conftest.py", "before it began to run tests")]
)
def test_check_is_not_green_where_the_process_ends_at_import(tmp_path: Path, file: str, when: str) -> None:
    (tmp_path / "kernels.py").write_text(LEAVING)
    (tmp_path / file).write_text("import os\nos._exit(0)\n")
    found = run(
        "check",
        "kernels.py:leaving",
        "pytest_attn.suite.test_case",
        f"--attn-case={OUT}",
        "--confcutdir=.",
        ".",
        cwd=tmp_path,
    )
    assert found.stderr == f"check: the process ended with status 0 before pytest did, {when}\n"
    assert found.returncode == 3


def test_check_has_the_status_of_pytest_and_not_of_what_runs_at_exit(tmp_path: Path) -> None:
    code = (
        "import atexit, os\natexit.register(os._exit, 0)\ndef wrong(query, key, value, scale): return query.clone()\n"
    )
    (tmp_path / "kernels.py").write_text(code)
    found = run("check", "kernels.py:wrong", "pytest_attn.suite.test_case", f"--attn-case={OUT}", cwd=tmp_path)
    assert found.returncode == 1


def test_check_passes_on_what_pytest_answers_without_a_test(tmp_path: Path) -> None:
    found = run("check", "sdpa", "--version", cwd=tmp_path)
    assert (found.returncode, found.stdout.startswith("pytest ")) == (0, True)


def test_list_prints_cells_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--sweep", "bsa-lse"]) == 0
    printed = capsys.readouterr().out
    assert "bsa-lse: the log-sum-exp of the published BSA suite" in printed
    assert ["total", "1600", "125", "232.75"] in [line.split() for line in printed.splitlines()]
    assert "dtype       bfloat16 (1296)  float16 (304)" in printed


def test_list_draws_no_sweep_that_is_not_named(tmp_path: Path) -> None:
    code = (
        "import sys; from pytest_attn.__main__ import main; main(['list']); "
        "sys.exit('torch' in sys.modules or 'pytest_attn.problem.covering' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    lines = found.stdout.splitlines()
    assert found.returncode == 0, found.stderr
    assert "  test_boundary_head_dims" in lines
    assert "  drawn for what a kernel claims; at most: list --sweep boundary" in lines


def test_list_draws_a_sweep_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--sweep", "backward"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    (row,) = (row for row in rows if row[:1] == ["test_backward_long"])
    assert int(row[1]) == len(find_sweep("backward").groups["backward_long"]) > 0


def test_list_prints_ids_that_parse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--sweep", "smoke", "--ids"]) == 0
    ids = capsys.readouterr().out.split()
    assert len(ids) == 177
    assert [Case.parse(text).id for text in ids] == ids


def test_an_unknown_sweep_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--sweep", "smok"]) == 4
    allowed = "smoke, backward, boundary, bsa-attn, bsa-joint, bsa-lse, core, decode, ..."
    assert capsys.readouterr().err == f"--sweep: unknown sweep 'smok'; allowed: {allowed}\n"


@pytest.mark.parametrize("arguments", [[], ["chek"], ["list", "--swep", "smoke"]])
def test_what_is_no_command_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert "usage: python -m pytest_attn" in capsys.readouterr().err


def test_power_prints_what_each_judge_sees(tmp_path: Path) -> None:
    found = run("power", "b1-h1-s20x300-d16-bfloat16-both-exact", "--seed=7", cwd=tmp_path)
    header, columns, *rows = found.stdout.splitlines()
    assert header.startswith("b1-h1-s20x300-d16-bfloat16-both-exact: bfloat16, 1 head, queries 20, keys 300, ")
    assert header.endswith(", seed 7")
    assert columns.split()[-5:] == ["derived", "bsa", "allclose-1e-2", "flash-attention", "pytorch-fudge"]
    assert rows[0].split() == ["clean", "kernel", *["green"] * 5]
    assert rows[1].split()[:7] == ["keys", "dropped", "from", "every", "row", "150", "1"]
    assert (found.stderr, found.returncode) == ("", 0)


LONG = "b1-h1-s24000-d128-bfloat16-both-exact"
TIGHT = "b1-h1-s512-d128-bfloat16-sp90pct-bs512x512-both-exact"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "case id 'nothing' does not parse; allowed: ids like "),
        ([TIGHT], f"case {TIGHT} is unsatisfiable: the sparsity leaves no block to keep"),
        (
            [LONG],
            f"case {LONG} costs 295 GFLOP, over the budget of 80; allowed: a case that costs less, or --budget=none",
        ),
        ([CASE, "--budget=1e-6"], f"case {CASE} costs 0.000524 GFLOP, over the budget of 1e-06; allowed: "),
        ([CASE, "--budget=much"], "--budget: 'much' is no budget; allowed: "),
        ([CASE, "--seed=x"], "--seed: 'x' is no seed; allowed: a whole number"),
    ],
)
def test_power_refuses_in_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", *arguments]) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"power: {sentence}")
    assert printed.err.count("\n") == 1


def test_mutants_that_all_die_are_counted_by_kind(tmp_path: Path) -> None:
    found = run("mutants", "--mutant=zeros", "--mutant=scale-twice", "--sweep=smoke", cwd=tmp_path)
    null, scale, killed, survivors = found.stdout.splitlines()
    assert (null.split(), scale.split()) == (["null", "1", "of", "1", "killed"], ["scale", "1", "of", "1", "killed"])
    assert killed.startswith("killed 2 of 2 in 177 cells, ")
    assert (survivors, found.stderr, found.returncode) == ("survivors: none", "", 0)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep `few`, of so few cells that this process works on them alone."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    groups = {"few_output": (Case.parse(OUT),), "few_both": (Case.parse(CASE), Case.parse(f"{CASE[:-11]}-lse-exact"))}
    built = sweep._Registered("a few cells", published=False, build=lambda: groups)
    monkeypatch.setitem(sweep._REGISTERED, "few", built)
    sweep.find_sweep.cache_clear()


@pytest.mark.usefixtures("few")
def test_a_mutant_that_survives_is_named_and_ends_in_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "--mutant=scale-of-first-call", "--sweep=few"]) == 1
    assert "survivors: scale-of-first-call\n" in capsys.readouterr().out


def test_a_mutant_that_no_cell_runs_ends_in_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "--mutant=zeros", "--sweep=backward"]) == 1
    assert "not claimed by any cell, counted for nobody: zeros\n" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_the_report_of_mutants_names_tests_and_tolerances(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", "--mutant=lse-in-base-two", "--sweep=few", "--report"]) == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["2", "few_both", "(2", "cells)"] in printed
    assert ["flash-attention", "0", "of", "1"] in printed
    row = ["lse-in-base-two", "lse", "base", "lse", "base", ".", "x"]
    assert row in [line[: len(row)] for line in printed]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mutant=last-tile-umasked"], "--mutant: unknown mutant 'last-tile-umasked'; allowed: last-tile-unmasked, "),
        (["--sweep=bondary"], "--sweep: unknown sweep 'bondary'; allowed: boundary, "),
    ],
)
def test_mutants_refuse_unknown_names(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", *arguments]) == 4
    error = capsys.readouterr().err
    assert error.startswith(sentence)
    assert error.count("\n") == 1


def test_a_summary_of_a_run_is_markdown_and_annotations(tmp_path: Path) -> None:
    arguments = ["pytest_attn.suite.test_case", f"--attn-case={OUT}", "--attn-output=out"]
    (tmp_path / "wrong.py").write_text("def wrong(query, key, value, scale):\n    return value * 0.5\n")
    assert run("check", "wrong.py:wrong", *arguments, cwd=tmp_path).returncode == 1
    found = run("summary", "out", cwd=tmp_path)
    assert found.stdout.startswith("## 1 failed cell\n\n- `out`: claimed 1 of 1 "), found.stderr
    assert f"--attn-case={OUT} --attn-seed=42\n```\n" in found.stdout
    assert found.returncode == 0
    assert run("summary", "--annotations", "out", cwd=tmp_path).stdout.startswith(f"::error title={OUT} [wrong.py")


def test_a_summary_shows_what_utf8_cannot_hold(tmp_path: Path) -> None:
    file = DocumentFile(tmp_path)
    file.write(RunStart(id="1", started="2026-11-27T02:17:00+00:00"))
    file.write(Record(case=CASE, kernel="k", outcome="failed", why="raised \ud800"))
    file.close()
    found = run("summary", ".", cwd=tmp_path)
    assert (found.returncode, found.stderr) == (0, "")
    assert "raised ?" in found.stdout


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (None, "attn-run.jsonl is not there; allowed: a folder of --attn-output"),
        ("{\n", "attn-run.jsonl:1: corrupt, not JSON"),
    ],
)
def test_a_summary_of_no_run_is_one_sentence(
    line: str | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if line:
        (tmp_path / FILE).write_text(line)
    assert main(["summary", str(tmp_path)]) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"summary: {tmp_path}")
    assert sentence in printed.err
    assert printed.err.count("\n") == 1


SLOW = """
import time
from torch.nn.functional import scaled_dot_product_attention

def slow(query, key, value, scale):
    if query.shape[2] == 65:
        open("running", "w").close()
        time.sleep(60)
    return scaled_dot_product_attention(query, key, value, scale=scale)
"""


@pytest.mark.parametrize("to_both", [False, True])
def test_an_interrupted_check_keeps_what_it_has(tmp_path: Path, to_both: bool) -> None:
    (tmp_path / "kernels.py").write_text(SLOW)
    cases = [f"--attn-case={case}" for case in (OUT, OUT.replace("s64", "s65"))]
    command = [sys.executable, "-m", "pytest_attn", "check", "kernels.py:slow", "pytest_attn.suite.test_case", *cases]
    command += ["--attn-output=out", "--junit-xml=junit.xml"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What runs in the background ignores SIGINT, and so does all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    while not (tmp_path / "running").exists():
        time.sleep(0.1)
        assert process.poll() is None
    (os.killpg if to_both else os.kill)(process.pid, signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 2, printed + errors
    assert "| ran 1 | passed 1 | failed 0" in printed
    assert "Traceback" not in printed + errors
    assert "test_case" in (tmp_path / "junit.xml").read_text()
    document = read_document(tmp_path / "out")
    assert [record.outcome for record in document.records] == ["passed"]
    assert document.end is not None
    assert not document.complete


def test_workers_without_xdist_are_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pytest_attn.commands.check.find_spec", lambda name: None)
    assert main(["check", "block_sparse", "-n", "2"]) == 4
    assert "-n needs pytest-xdist" in capsys.readouterr().err
