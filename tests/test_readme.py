"""What the README and the pages of docs/ say is what the code does."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

from pytest_attn.__main__ import main
from pytest_attn.judge.verdict.tolerances import DERIVED, tolerance_names
from pytest_attn.kernels.capabilities import Capabilities
from pytest_attn.kernels.claims import claims_table
from pytest_attn.kernels.numerics import Numerics
from pytest_attn.kernels.resolve import BUILT_IN
from pytest_attn.options.flags import OPTIONS, options_table
from pytest_attn.problem.sweep import find_sweep, sweep_names
from pytest_attn.records.schema import schema_tables

ROOT = Path(__file__).parent.parent
MOST_LINES = 200
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(start: str) -> list[list[str]]:
    """The words after `start` of every command in a block of shell, without its comment; no command twice."""
    blocks = [block for path in PAGES for block in re.findall(r"```sh\n(.*?)```", path.read_text("utf-8"), re.DOTALL)]
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    found = (line.partition(start)[2] for line in lines if line.removeprefix(".venv/bin/").startswith(start))
    return [shlex.split(words) for words in dict.fromkeys(found)]


def page(name: str) -> str:
    """The text of a page, by its path in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(page("README.md").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", PAGES[1:], ids=lambda path: path.name)
def test_the_readme_names_every_page(path: Path) -> None:
    assert f"| [docs/{path.name}](docs/{path.name}) | " in page("README.md")


def test_the_options_table_is_the_plugins() -> None:
    assert options_table() in page("docs/options.md")


def test_the_tables_of_the_run_document_are_those_of_its_schema() -> None:
    assert schema_tables() in page("docs/formats.md")


def test_the_table_of_claims_is_what_the_built_in_kernels_claim() -> None:
    assert claims_table() in page("docs/capabilities.md")


def test_the_help_of_the_kernel_option_names_every_built_in() -> None:
    (option,) = (option for option in OPTIONS if option.name == "kernel")
    assert f"a built-in ({', '.join(BUILT_IN)})" in option.help


def test_the_help_of_the_tolerance_option_names_every_tolerance() -> None:
    (option,) = (option for option in OPTIONS if option.name == "tolerance")
    assert option.help.endswith(": " + ", ".join(name for name in tolerance_names() if name != DERIVED))


def test_the_example_is_the_file_in_examples() -> None:
    assert (ROOT / "examples" / "my_flash.py").read_text(encoding="utf-8") in page("README.md")


def test_every_capability_is_in_the_table() -> None:
    table = page("docs/capabilities.md").partition("\n## Capabilities\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= {item.name for item in fields(Capabilities)}


def test_every_field_of_the_numerics_is_in_the_table() -> None:
    table = page("docs/capabilities.md").partition("\n## Numerics\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == {item.name for item in fields(Numerics)}


@pytest.mark.parametrize("path", ["README.md", "docs/sweeps.md"])
@pytest.mark.parametrize("name", sweep_names())
def test_the_sweeps_table_has_the_counts(name: str, path: str) -> None:
    sweep = find_sweep(name)
    unsatisfiable = sum(bool(case.unsatisfiable) for case in sweep)
    assert f"| `{name}` | {len(sweep)} | {unsatisfiable} |" in page(path)


@pytest.mark.parametrize("example", [*find_examples(*map(str, PAGES))], ids=str)
def test_python_examples_run(example: CodeExample, eval_example: EvalExample) -> None:
    eval_example.run(example)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest_benchmark.logger.PytestBenchmarkWarning")  # nothing to compare with
@pytest.mark.parametrize("words", commands("pytest "), ids=" ".join)
def test_every_pytest_command_finds_its_tests(words: list[str], pytester: pytest.Pytester) -> None:
    shutil.copy(ROOT / "examples" / "my_flash.py", pytester.path)
    assert pytester.runpytest(*words, "--collect-only", "-q").ret == pytest.ExitCode.OK


@pytest.mark.parametrize("words", commands("python -m pytest_attn "), ids=" ".join)
def test_every_command_of_ours_exists(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([words[0], "--help"])
    assert ended.value.code == 0
    known = {*re.findall(r"--[a-z][\w-]*", capsys.readouterr().out), *(option.flag for option in OPTIONS)}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known


def test_the_example_kernel_passes_the_smoke_sweep(pytester: pytest.Pytester) -> None:
    kernel = ROOT / "examples" / "my_flash.py"
    result = pytester.runpytest("--pyargs", "pytest_attn.suite.test_smoke", f"--attn-kernel={kernel}:my_flash")
    result.stdout.fnmatch_lines(["claimed 138 of 177 | ran 138 | passed 138 | failed 0 | *"])
    assert result.ret == 0
