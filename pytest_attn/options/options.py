"""What the user asked of one run."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_attn.judge.verdict.tolerances import DERIVED
from pytest_attn.options import python_values
from pytest_attn.options.defaults import CPU_BUDGET, INCONCLUSIVE_RUNS, SLOWDOWN
from pytest_attn.options.flags import OPTIONS
from pytest_attn.options.option import Option
from pytest_attn.options.unmatched import refuse_unmatched
from pytest_attn.options.values import (
    GateMode,
    parse_slowdown,
    read_budget,
    read_cache,
    read_devices,
    read_gate,
    read_inconclusive,
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
from pytest_attn.problem.sweep import sweep_names
from pytest_attn.text import closest

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


READ: Mapping[str, Callable[[Sequence[str]], Any]] = {
    "kernel": tuple,
    "device": read_devices,
    "sweep": read_sweeps,
    "axis": lambda texts: tuple(AxisFilter.parse(text) for text in texts),
    "case": lambda texts: tuple(Case.parse(text) for text in texts),
    "seed": read_seed,
    "budget": read_budget,
    "tolerance": read_tolerance,
    "cache": read_cache,
    "require": read_requirements,
    "output": read_text,
    "shrink": read_shrink,
    "overclaim": read_yes,
    "gate": read_gate,
    "slowdown": lambda texts: parse_slowdown(texts[-1]),
    "inconclusive": read_inconclusive,
    "baselines": read_text,
}
"""From the texts given for an option, several where it repeats, to the value of its field; each raises ValueError."""

SPELL: Mapping[str, Callable[[Any], Sequence[str]]] = {
    "kernel": python_values.spell_texts,
    "device": python_values.spell_devices,
    "sweep": python_values.spell_texts,
    "axis": python_values.spell_axes,
    "case": python_values.spell_cases,
    "seed": python_values.spell_seed,
    "budget": python_values.spell_budget,
    "tolerance": python_values.spell_text,
    "cache": python_values.spell_cache,
    "require": python_values.spell_requirements,
    "output": python_values.spell_path,
    "shrink": python_values.spell_shrink,
    "overclaim": python_values.spell_yes,
    "gate": python_values.spell_text,
    "slowdown": python_values.spell_slowdown,
    "inconclusive": python_values.spell_seed,
    "baselines": python_values.spell_path,
}
"""From a Python value to the texts that say the same, none where that is the default; each raises ValueError, whose
text is what is allowed."""


def read_options(given: Mapping[str, Sequence[str]], in_ini: Container[str] = ()) -> Options:
    """Options from the texts that the user gave, by name; `in_ini` are the names that stand in the ini file.

    Raises ValueError naming the option, the value and what is allowed.
    """
    for name in given:
        _option(name)
    values: dict[str, Any] = {}
    for option in OPTIONS:
        texts = given.get(option.name)
        if option.name in in_ini and texts is not None and not any(text.strip() for text in texts):
            raise ValueError(f"{option.ini}: empty; allowed: {option.metavar}, or no such line")
        if texts:
            try:
                values[option.name] = READ[option.name](texts)
            except ValueError as error:
                raise ValueError(f"{option.ini if option.name in in_ini else option.flag}: {error}") from None
    options = Options(**values, given=frozenset(values))
    try:
        refuse_unmatched(options)
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
            texts = SPELL[option.name](value)
        except ValueError as allowed:
            raise ValueError(f"{_written(name, value)}; allowed: {allowed}") from None
        try:
            if texts:
                values[name] = READ[option.name](texts)
        except ValueError as error:
            raise ValueError(f"{_written(name, value)}: {_without_flags(error)}") from None
    options = Options(**values, given=frozenset(values))
    try:
        refuse_unmatched(options)
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
