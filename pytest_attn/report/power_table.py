"""What each verdict sees of each defect on one case, as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Seen:
    """One kind of defect: by judge the least amount seen, None where not even `largest` is.

    `counted` "keys": a whole number of them; "share": a number that 0 means no defect of; "once": there is but one
    amount.
    """

    defect: str
    counted: str
    largest: float
    least: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Power:
    """What the judges see on a case: `heads` over all batches, `pairs` that may attend.

    `red` names the judges that call the clean kernel wrong, with what they say, `left_out` the defects that were not
    injected, with why.
    """

    case: str
    dtype: str
    heads: int
    queries: int
    keys: int
    pairs: int
    seed: int
    judges: tuple[str, ...]
    rows: tuple[Seen, ...]
    red: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def power_table(power: Power) -> str:
    """One header line, one line per defect with a column per judge, then what the columns cannot say."""
    clean = ["clean kernel", "", *("red without a defect" if name in power.red else "green" for name in power.judges)]
    table = [["least defect seen", "largest tried", *power.judges], clean]
    for row in power.rows:
        cells = ["-" if name in power.red else _amount(row.least[name], row.counted) for name in power.judges]
        table.append([row.defect, _largest(row), *cells])
    widths = [max(len(cells[column]) for cells in table) for column in range(len(table[0]))]
    lines = [_header(power), *("  " + _line(cells, widths) for cells in table)]
    lines += [f"  {name} is red without a defect: {summary}" for name, summary in power.red.items()]
    lines += [f"  left out: {defect}: {reason}" for defect, reason in power.left_out.items()]
    return "\n".join(lines) + "\n"


def _header(power: Power) -> str:
    heads = "1 head" if power.heads == 1 else f"{power.heads} heads"
    shape = f"queries {power.queries}, keys {power.keys}, pairs {power.pairs}"
    return f"{power.case}: {power.dtype}, {heads}, {shape}, seed {power.seed}"


def _line(cells: list[str], widths: list[int]) -> str:
    first, *rest = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join([cells[0].ljust(len(first)), *rest])


def _largest(row: Seen) -> str:
    return "" if row.counted == "once" else _amount(row.largest, row.counted)


def _amount(amount: float | None, counted: str) -> str:
    if amount is None:
        return "never"
    if counted == "once":
        return "seen"
    return f"{amount:.0f}" if counted == "keys" else f"{amount:.2g}"
