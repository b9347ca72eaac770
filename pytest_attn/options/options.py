"""What the user asked of one run."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_attn.judge.verdict.tolerances import DERIVED, tolerance_names
from pytest_attn.options import python_values
from pytest_attn.options.defaults import INCONCLUSIVE_RUNS, SHRINK_SECONDS, SHRUNK_CELLS, SLOWDOWN
from pytest_attn.options.option import Option
from pytest_attn.options.speed import SPEED
from pytest_attn.options.values import (
    GateMode,
    read_budget,
    read_cache,
    read_devices,
    read_requirements,
    read_seed,
    read_shrink,
    read_sweeps,
    read_text,
    read_tolerance,
    read_yes,
)
from pytest_attn.problem.axes import AxisFilter
from pytest_attn.problem.case import Case
from pytest_attn.problem.sweep import find_sweep, sweep_names
from pytest_attn.text import closest

CPU_BUDGET = 80.0
"""GFLOP that a case may cost on a CPU where `--attn-budget` says nothing."""

MOST_SHOWN = 100
"""Characters of a value that a refusal shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked of one run. Every field has a flag `--attn-<name>` and an ini twin `attn_<name>`."""

    kernel: tuple[str, ...] = ("block_sparse",)
    device: tuple[str, ...] = ("cpu",)
    sweep: tuple[str, ...] = ()
    axis: tuple[AxisFilter, ...] = ()
    case: tuple[Case, ...] = ()
    seed: int = 42
    budget: float | None = None
    """GFLOP; infinity = no limit; None = the default of the device."""
    tolerance: str = DERIVED
    cache: str = "on"
    require: tuple[str, ...] = ()
    output: str | None = None
    shrink: float | None = None
    """Seconds per failed cell; None = failed cells are not shrunk."""

    overclaim: bool = False
    gate: GateMode = "off"
    slowdown: float = SLOWDOWN
    """A fraction of the time."""

    inconclusive: int = INCONCLUSIVE_RUNS
    """Runs in a row without a decision on one benchmark, of which the last fails."""

    baselines: str = "baselines"

    given: frozenset[str] = field(default_factory=frozenset)
    """Names of the options that the user set."""

    @property
    def budget_gflop(self) -> float:
        """Most GFLOP that one case may cost; infinity = no limit."""
        if self.budget is not None:
            return self.budget
        return CPU_BUDGET if all(device == "cpu" for device in self.device) else float("inf")

    @property
    def sweeps(self) -> tuple[str, ...]:
        """The sweeps that run: those named, else all."""
        return self.sweep or sweep_names()

    @property
    def fewest_judged(self) -> int:
        """Cells that must have been judged; 0 where the user named no number."""
        return max((int(item) for item in self.require if item.isdigit()), default=0)

    def keeps(self, sweep: str, case: Case) -> bool:
        """Whether a cell of a sweep runs."""
        return not self.case and sweep in self.sweeps and all(axis.keeps(case) for axis in self.axis)


OPTIONS = (
    Option(
        "kernel",
        "NAME",
        "kernel to judge: a built-in (eager, sdpa, block_sparse, naive, flash_v1, flash_v2, gqa, mqa, masked, flex, "
        "split_kv_decode, sliding_window, kv_cache_decode), module:attribute, path/to/file.py:attribute, or an entry "
        "point of pytest_attn.kernels; repeatable",
        tuple,
        "block_sparse",
        repeats=True,
    ),
    Option(
        "device",
        "DEVICE",
        "cpu, cuda, cuda:N, npu or npu:N; several with commas are dealt out to xdist workers",
        read_devices,
        "cpu",
        spell=python_values.spell_devices,
    ),
    Option(
        "sweep", "NAME", "run these sweeps only; repeatable, or several with commas", read_sweeps, "all", repeats=True
    ),
    Option(
        "axis",
        "AXIS=[VALUES]",
        "run the cells with these values only, such as 'dtype=[bfloat16,float16]'; repeatable",
        lambda texts: tuple(AxisFilter.parse(text) for text in texts),
        "all values",
        repeats=True,
        spell=python_values.spell_axes,
    ),
    Option(
        "case",
        "ID",
        "run this case only, in or outside the sweeps (pytest_attn.suite.test_case); repeatable",
        lambda texts: tuple(Case.parse(text) for text in texts),
        "none",
        repeats=True,
        spell=python_values.spell_cases,
    ),
    Option("seed", "SEED", "seed of query, key and value", read_seed, "42", spell=python_values.spell_seed),
    Option(
        "budget",
        "GFLOP",
        "skip cases that cost more, or none",
        read_budget,
        f"{CPU_BUDGET:g} on a CPU, none elsewhere",
        spell=python_values.spell_budget,
    ),
    Option(
        "tolerance",
        "NAME",
        "derived (from rounding, per element), or the flat tolerance of a published suite: "
        + ", ".join(tolerance_names()[1:]),
        read_tolerance,
        DERIVED,
        spell=python_values.spell_text,
    ),
    Option(
        "cache",
        "DIR",
        "folder for references that later runs share, off, or on: under pytest's cache folder",
        read_cache,
        "on",
        spell=python_values.spell_cache,
    ),
    Option(
        "require",
        "WHAT",
        "fail cells that are not here (here) or not claimed (claimed) instead of skipping them; a number: fail the run "
        "where fewer cells were judged; repeatable, or several with commas",
        read_requirements,
        "1",
        repeats=True,
        spell=python_values.spell_requirements,
    ),
    Option(
        "output",
        "DIR",
        "write DIR/attn-run.jsonl, all that the run finds out, a JSON object to a line",
        read_text,
        "nothing is written",
        spell=python_values.spell_path,
    ),
    Option(
        "shrink",
        "SECONDS",
        f"look so long ({SHRINK_SECONDS} where the flag stands alone) for the smallest case that fails as a failed "
        f"cell does, and print its id; done for the first {SHRUNK_CELLS} failed cells of each process",
        read_shrink,
        "failed cells are not shrunk",
        alone=str(SHRINK_SECONDS),
        spell=python_values.spell_shrink,
    ),
    Option(
        "overclaim",
        "yes",
        "give the kernel problems that it does not claim, too: to refuse (NotImplementedError, or no such keyword) is "
        "fine, numbers are judged",
        read_yes,
        "no",
        alone="yes",
        spell=python_values.spell_yes,
    ),
    *SPEED,
)


def read_options(given: Mapping[str, Sequence[str]], in_ini: Container[str] = ()) -> Options:
    """Options from the texts that the user gave, by name; `in_ini` are the names that stand in the ini file.

    Raises ValueError naming the option, the value and what is allowed.
    """
    for name in given:
        _option(name)
    values: dict[str, Any] = {}
    for option in OPTIONS:
        texts = given.get(option.name)
        if texts:
            try:
                values[option.name] = option.read(texts)
            except ValueError as error:
                raise ValueError(f"{option.ini if option.name in in_ini else option.flag}: {error}") from None
    options = Options(**values, given=frozenset(values))
    try:
        _refuse_unmatched(options)
    except ValueError as error:
        raise ValueError(f"--attn-axis: {error}") from None
    return options


def options_of(given: Mapping[str, Any]) -> Options:
    """Options from the arguments of a Python function: natural values, or texts as on the command line.

    Raises ValueError naming the argument and its value as they were written, and what is allowed.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        option = _option(name)
        try:
            texts = option.spell(value)
        except ValueError as allowed:
            raise ValueError(f"{_written(name, value)}; allowed: {allowed}") from None
        try:
            if texts:
                values[name] = option.read(texts)
        except ValueError as error:
            raise ValueError(f"{_written(name, value)}: {_without_flags(error)}") from None
    options = Options(**values, given=frozenset(values))
    try:
        _refuse_unmatched(options)
    except ValueError as error:
        raise ValueError(f"{_written('axis', given['axis'])}: {_without_flags(error)}") from None
    return options


def _option(name: str) -> Option:
    """The option of that name. Raises ValueError naming the closest ones."""
    found = {option.name: option for option in OPTIONS}
    if name not in found:
        raise ValueError(f"unknown option {name!r}; allowed: {closest(name, found)}")
    return found[name]


def _written(name: str, value: Any) -> str:
    shown = " ".join(repr(value).split())
    return f"{name}={shown if len(shown) <= MOST_SHOWN else shown[:MOST_SHOWN] + '...'}"


def _without_flags(error: ValueError) -> str:
    return str(error).replace("--attn-", "")


def _refuse_unmatched(options: Options) -> None:
    """Raises ValueError where no cell has the values that the axes name."""
    if not options.axis:
        return
    cases = [case for name in options.sweeps for case in find_sweep(name)]
    for axis in options.axis:
        axis.refuse_unknown_values(cases)
    if not any(options.keeps(name, case) for name in options.sweeps for case in find_sweep(name)):
        if options.case:
            raise ValueError("does not combine with --attn-case; allowed: one of the two")
        raise ValueError("no cell has all of these values; allowed: values that occur together")


def add_options(add: Callable[..., None]) -> None:
    """Declare every flag with an argparse-like `add`."""
    for option in OPTIONS:
        add(
            option.flag,
            action="append" if option.repeats else "store",
            default=None,
            metavar=option.metavar,
            help=f"{option.help} (default: {option.default})".replace("%", "%%"),
            **({"nargs": "?", "const": option.alone} if option.alone else {}),
        )


def options_table() -> str:
    """The options as a Markdown table."""
    rows = [f"| `{o.usage}` | `{o.ini}` | {o.help} | {o.default} |" for o in OPTIONS]
    return "\n".join(["| option | ini | meaning | default |", "|---|---|---|---|", *rows])
