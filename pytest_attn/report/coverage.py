"""How often each claim of a kernel was tried, alone and together with another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from pytest_attn.problem.dtypes import BUILT_IN_DTYPES
from pytest_attn.problem.sweep import find_sweep, is_drawn, sweep_names
from pytest_attn.problem.variants.registry import variants
from pytest_attn.problem.vocabulary import DTYPES
from pytest_attn.records.declared import Declared
from pytest_attn.records.record import Record

Claims = tuple[str, ...]
"""One claim, or two of them."""

WHOLE = frozenset({"smoke", "boundary", "core", "decode", "backward"})
"""The sweeps that together are meant to try every claim."""

SHOWN = 3
"""Claims that a line names."""

ALTERNATIVES = ({"causal", "causal_top_left"}, {"lse", "backward"}, {"strided", "bsnd"})
"""Claims of which a case has one at most."""


@dataclass(frozen=True)
class Coverage:
    """Cells of one kernel by its claims, and by each two of them that a case can have at once."""

    kernel: str
    tried: Mapping[Claims, int]
    """Cells that were judged; 0 where none was."""

    refused: frozenset[Claims]
    """Those of which the kernel refused a cell, for a reason that it declares."""

    away: frozenset[Claims]
    """Those of which a cell was not here: no device, or over the budget."""

    met: frozenset[Claims]
    """Those that some cell of the run has, whatever became of it."""

    @property
    def singles(self) -> Mapping[Claims, int]:
        """Judged cells by claim, in the order of the claims."""
        return {claims: count for claims, count in self.tried.items() if len(claims) == 1}

    @property
    def pairs(self) -> Mapping[Claims, int]:
        """Judged cells by each two claims that were tried."""
        return {pair: count for pair, count in self.tried.items() if len(pair) == 2 and self.each_tried(pair)}

    def each_tried(self, pair: Claims) -> bool:
        """Whether each of two claims was tried, with the other or without."""
        return all(self.tried[claim,] for claim in pair)


def coverage_of(declared: Declared, records: Iterable[Record]) -> Coverage:
    """The cells of a kernel by its claims, each cell once."""
    cells = {record.case: record for record in records if record.kernel == declared.kernel}.values()
    refusals = {f"not claimed: {reason}" for reason in declared.refuses}
    found: dict[str, Counter[Claims]] = {name: Counter() for name in ("tried", "refused", "away", "met")}
    for record in cells:
        claims = [*_groups(claim for claim in declared.claims if claim in record.needs)]
        found["met"].update(claims)
        if record.ran:
            found["tried"].update(claims)
        elif record.outcome == "not here":
            found["away"].update(claims)
        elif record.why in refusals:
            found["refused"].update(claims)
    return Coverage(
        kernel=declared.kernel,
        tried={claims: found["tried"][claims] for claims in _groups(declared.claims)},
        refused=frozenset(found["refused"]),
        away=frozenset(found["away"]),
        met=frozenset(found["met"]),
    )


def never_tried(declared: Declared, records: Sequence[Record]) -> tuple[Claims, ...]:
    """What a run of every cell of the five sweeps should have tried of a kernel and did not; nothing where it had but
    one cell less, as with any selection.

    A claim without a judged cell, and a claim in one of its dtypes where the sweeps have cells of both and the kernel
    refused none of them. What is not here says so itself; of other packages' variants and dtypes no sweep has cells.
    """
    if not whole_sweeps(declared, records) >= WHOLE:
        return ()
    found = coverage_of(declared, records)

    def missed(claims: Claims) -> bool:
        if found.tried[claims] or claims in found.away:
            return False
        if len(claims) == 1:
            return claims in found.met or _is_ours(claims[0])
        of_both = found.each_tried(claims) and claims in found.met
        return of_both and _in_a_dtype(claims) and claims not in found.refused

    return tuple(claims for claims in found.tried if missed(claims))


def whole_sweeps(declared: Declared, records: Iterable[Record]) -> frozenset[str]:
    """The sweeps of which every cell has a record of a kernel, whatever became of it."""
    cells: dict[str, set[str]] = {}
    for record in records:
        if record.kernel == declared.kernel and record.sweep in sweep_names():
            cells.setdefault(record.sweep, set()).add(record.case)
    whole = {sweep: declared.cells.get(sweep) if is_drawn(sweep) else len(find_sweep(sweep)) for sweep in cells}
    return frozenset(sweep for sweep, cases in cells.items() if len(cases) == whole[sweep])


def coverage_line(declared: Declared, records: Sequence[Record]) -> str:
    """The claims, and each two of them, that fewest judged cells have; those that none has first. Empty where the run
    has no whole sweep: what a selection tries, who selected knows."""
    if not whole_sweeps(declared, records):
        return ""
    coverage = coverage_of(declared, records)
    parts = [_thinnest("claims", coverage.singles), _thinnest("pairs of claims", coverage.pairs)]
    return f"cells by claim [{coverage.kernel}]: " + "; ".join(part for part in parts if part)


def words_of(claims: Claims) -> str:
    """Claims in words: `causal with dtype bfloat16`."""
    return " with ".join(reversed(claims))


def _thinnest(what: str, counts: Mapping[Claims, int]) -> str:
    untried = [words_of(claims) for claims, count in counts.items() if not count]
    few = sorted((count, words_of(claims)) for claims, count in counts.items() if count)[:SHOWN]
    none = f"none for {len(untried)} of {len(counts)} {what} ({_some(untried)})" if untried else ""
    least = "fewest for " + ", ".join(f"{words} {count}" for count, words in few) if few else ""
    return ", ".join(part for part in (none, least) if part)


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:SHOWN]) + (", ..." if len(words) > SHOWN else "")


def _groups(claims: Iterable[str]) -> Iterator[Claims]:
    """Each claim, and each two that a case can have at once."""
    listed = [*claims]
    yield from ((claim,) for claim in listed)
    yield from (pair for pair in combinations(listed, 2) if not _exclude_each_other(*pair))


def _exclude_each_other(one: str, other: str) -> bool:
    same_axis = " " in one and one.partition(" ")[0] == other.partition(" ")[0]
    return same_axis or {one, other} in ALTERNATIVES


def _in_a_dtype(claims: Claims) -> bool:
    """Whether two claims are one in one of the dtypes that sweeps vary; of the ways to lie in memory they have few."""
    return any(f"dtype {dtype}" in claims for dtype in DTYPES) and not {"strided", "bsnd"} & {*claims}


def _is_ours(claim: str) -> bool:
    name, _, value = claim.partition(" ")
    if name == "dtype":
        return value in BUILT_IN_DTYPES
    return name not in variants() or variants()[name].__module__.startswith("pytest_attn.")
