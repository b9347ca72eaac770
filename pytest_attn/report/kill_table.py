"""The kill matrix as text."""

from __future__ import annotations

from collections import Counter

from pytest_attn.report.kills import Fate, KillMatrix

MOST_NAMED = 8
"""Cells on which the correct kernel fails, or mutants not reached, that are named before the rest is counted."""


def kill_summary(matrix: KillMatrix) -> str:
    """For each planted kind of bug the mutants killed, then the survivors by name."""
    planted = Counter(fate.planted for fate in matrix.real)
    killed = Counter(fate.planted for fate in matrix.real if fate.kills)
    lines = [f"  {kind:18}{killed[kind]:4} of {count:3} killed" for kind, count in sorted(planted.items())]
    return "\n".join([*lines, *_ending(matrix)]) + "\n"


def kill_report(matrix: KillMatrix) -> str:
    """Which test kills which mutant and what saw it first, what each tolerance kills on regular cells, equivalent
    mutants with their reasons, survivors."""
    parts = [_legend(matrix), _table(matrix), _named(matrix), _regular(matrix), _equivalent(matrix), _ending(matrix)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _legend(matrix: KillMatrix) -> list[str]:
    tests = enumerate(matrix.tests.items(), start=1)
    return ["test", *(f"  {number:2} {test} ({cells} cells)" for number, (test, cells) in tests)]


def _table(matrix: KillMatrix) -> list[str]:
    width = max((len(fate.mutant) for fate in matrix.real), default=0) + 2
    diagnosed = any(fate.diagnosis for fate in matrix.real)
    heads = "".join(f"{number:3}" for number in range(1, len(matrix.tests) + 1))
    columns = f"{'mutant':{width}}{'planted':17}" + ("diagnosis        " if diagnosed else "")
    lines = [f"{columns}{heads}  first killed by"]
    for fate in matrix.real:
        marks = "".join("  x" if test in fate.kills else "  ." for test in matrix.tests)
        diagnosis = f"{fate.diagnosis or '-':17}" if diagnosed else ""
        lines.append(f"{fate.mutant:{width}}{fate.planted:17}{diagnosis}{marks}  {_first(fate, matrix)}")
    return lines


def _named(matrix: KillMatrix) -> list[str]:
    killed = [fate for fate in matrix.real if fate.kills]
    if not any(fate.diagnosis for fate in killed):
        return []
    right = sum(fate.diagnosis == fate.planted for fate in killed)
    others = [fate for fate in killed if fate.diagnosis not in ("", fate.planted)]
    width = max((len(fate.mutant) for fate in others), default=0) + 2
    share = f"{right} of {len(killed)} mutants killed ({right / len(killed):.0%})"
    none = len(killed) - right - len(others)
    cells, unnamed = (sum(len(getattr(fate, which)) for fate in killed) for which in ("cells", "unnamed"))
    return [
        f"the diagnosis names the planted kind for {share}, another for {len(others)}, none for {none}",
        f"no phrase for {unnamed} of {cells} red cells ({unnamed / cells:.1%})",
        *(f"  {fate.mutant:{width}}{fate.planted:17}named {fate.diagnosis}" for fate in others),
    ]


def _first(fate: Fate, matrix: KillMatrix) -> str:
    kill = next((fate.kills[test] for test in matrix.tests if test in fate.kills), None)
    return f"{kill.finding} in {kill.case}" if kill else "SURVIVES"


def _regular(matrix: KillMatrix) -> list[str]:
    if not matrix.tolerances:
        return []
    count = len(matrix.real)
    kills = {rule: sum(rule in fate.regular for fate in matrix.real) for rule in matrix.tolerances}
    return [
        f"killed on {matrix.regular} regular cells: normal inputs, lengths that are multiples of 128",
        *(f"  {rule:18}{killed:4} of {count}" for rule, killed in kills.items()),
        "killed on the cells above",
        f"  {'derived':18}{sum(bool(fate.kills) for fate in matrix.real):4} of {count}",
    ]


def _equivalent(matrix: KillMatrix) -> list[str]:
    lines = [f"  {fate.mutant}: {fate.equivalent}" for fate in matrix.fates if fate.equivalent]
    return ["equivalent to the correct kernel, not counted", *lines] if lines else []


def _ending(matrix: KillMatrix) -> list[str]:
    survivors = [fate.mutant for fate in matrix.unexpected if not fate.equivalent]
    misjudged = [fate.mutant for fate in matrix.unexpected if fate.equivalent]
    unfit = [f"{case} ({test})" for test, case in matrix.unfit]
    unreached = [fate.mutant for fate in matrix.unreached]
    count = len(matrix.real)
    return [
        f"killed {count - len(survivors)} of {count} in {sum(matrix.tests.values())} cells, {matrix.seconds:.0f} s",
        f"survivors: {', '.join(survivors) or 'none'}",
        *([f"not claimed by any cell, counted for nobody: {_listed(unreached)}"] if unreached else []),
        *([f"killed though equivalent: {', '.join(misjudged)}"] if misjudged else []),
        *([f"the correct kernel fails, counted for nobody: {_listed(unfit)}"] if unfit else []),
    ]


def _listed(words: list[str]) -> str:
    more = f" and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
    return ", ".join(words[:MOST_NAMED]) + more
