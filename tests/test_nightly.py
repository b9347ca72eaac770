"""The workflows are valid, `make nightly` is what the nightly workflow runs, and every option in them exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from pytest_attn.__main__ import main
from pytest_attn.options.flags import OPTIONS
from pytest_attn.options.options import READ

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = ROOT / "Makefile"
VARIABLE = re.compile(r"\$\{?\(?(\w+)\)?\}?")


def steps(path: Path) -> list[str]:
    """The shell texts of a workflow."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def commands(texts: Iterable[str]) -> list[list[str]]:
    """The words of every `python -m pytest` and `python -m pytest_attn`; a variable is its bare name."""
    found = []
    for text in texts:
        joined = text.replace("\\\n", " ")
        for part in re.split(r"\n|;|\|\||&&|>", joined):
            command = re.search(r"-m (pytest(?:_attn)?\b.*)", part)
            if command:
                found.append(shlex.split(VARIABLE.sub(r"\1", command[1])))
    return found


def recipe(target: str) -> str:
    """The lines of a target of the Makefile."""
    lines = MAKEFILE.read_text(encoding="utf-8").partition(f"\n{target}:")[2].split("\n")[1:]
    return "\n".join(line for line in lines[: lines.index("")])


NIGHTLY = commands(steps(ROOT / ".github" / "workflows" / "nightly.yml"))
MADE = commands([recipe("nightly")])
EVERY = [*commands(text for path in WORKFLOWS for text in steps(path)), *commands([MAKEFILE.read_text("utf-8")])]
OF_PYTEST = [words for words in EVERY if words[0] == "pytest"]
OF_OURS = [words for words in EVERY if words[0] == "pytest_attn"]


def flags(words: Iterable[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("-")}


def test_every_workflow_follows_the_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    found = subprocess.run([*command, *map(str, WORKFLOWS)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_schema_refuses_a_misspelt_key(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(WORKFLOWS[0].read_text(encoding="utf-8").replace("runs-on:", "run-on:"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(broken)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_both_halves_are_found() -> None:
    assert [words[2] for words in OF_PYTEST if words[1] == "--pyargs"] == 2 * [
        "pytest_attn.suite",
        "pytest_attn.suite.test_latency",
    ]


def test_make_nightly_runs_what_the_workflow_runs() -> None:
    assert [words for words in MADE if words[0] == "pytest"] == [words for words in NIGHTLY if words[0] == "pytest"]


@pytest.mark.parametrize("words", OF_PYTEST, ids=" ".join)
def test_our_options_exist_and_read_their_values(words: list[str]) -> None:
    known = {option.flag: option for option in OPTIONS}
    for flag, _, value in (word.partition("=") for word in words if word.startswith("--attn-")):
        assert flag in known
        if not value.isupper():  # a variable
            READ[known[flag].name]([value])


@pytest.mark.slow
def test_the_options_of_pytest_exist() -> None:
    command = [sys.executable, "-m", "pytest", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    existing = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", shown))
    assert {flag for words in OF_PYTEST for flag in flags(words)} <= existing


@pytest.mark.parametrize("words", OF_OURS, ids=" ".join)
def test_our_commands_and_their_options_exist(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([words[1], "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    passed_on = flags(words) if words[1] != "check" else set()  # the rest goes to pytest
    assert passed_on <= set(re.findall(r"--?[a-z][\w-]*", shown))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_and_end(path: Path) -> None:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert found["permissions"] == {"contents": "read"}
    assert "group" in found["concurrency"]
    assert all("timeout-minutes" in job and "permissions" not in job for job in found["jobs"].values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_expression_is_read_as_shell(path: Path) -> None:
    assert not [text for text in steps(path) if "${{" in text]


@pytest.mark.parametrize("job", ["correctness", "latency"])
def test_a_red_night_is_told_as_a_green_one_is(job: str) -> None:
    found = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8"))
    told = [step for step in found["jobs"][job]["steps"] if step.get("if") == "${{ always() }}"]
    assert any("GITHUB_STEP_SUMMARY" in step.get("run", "") for step in told)
    assert any("--annotations" in step.get("run", "") for step in told)
    assert any(step.get("uses", "").startswith("actions/upload-artifact@") for step in told)


PYTHON = """#!/bin/sh
echo "$*" >> calls
case "$*" in $RED) exit 1;; esac
"""


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize(
    ("red", "status"),
    [
        ("none", 0),
        ("*test_latency*", 2),
        ("*nightly/correctness", 2),  # the judging half, whose last argument this is
        ("*summary*", 2),
    ],
)
def test_make_nightly_runs_both_halves_and_is_red_where_either_is(red: str, status: int, tmp_path: Path) -> None:
    shutil.copy(MAKEFILE, tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON.replace("$RED", red))
    python.chmod(0o755)
    (python.parent.parent / "installed").touch()
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    made = subprocess.run(
        ["make", "nightly", "KERNEL=my:kernel"], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    judged, timed, told = (tmp_path / "calls").read_text().splitlines()
    assert made.returncode == status
    assert judged.startswith("-m pytest --pyargs pytest_attn.suite -n auto --attn-kernel=my:kernel ")
    assert timed.startswith("-m pytest --pyargs pytest_attn.suite.test_latency --attn-gate=strict ")
    assert told == "-m pytest_attn summary nightly/correctness nightly/latency"
