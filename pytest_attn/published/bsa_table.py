"""The table of the published block-sparse benchmark (BSA, `blitz_sparse_attention`), written and read.

Columns are right-aligned with one space between them, 120 characters in all; times are microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_attn.problem.frame import FrameWidths

WIDTH = 120
COLUMNS = {
    **{"block_shape": 13, "H": 3, "B": 3, "s_q": 6, "s_kv": 6, "D": 4, "frame(L,R,T,B)": 15, "sparsity": 9},
    **{"Outputs_equal": 15, "Ref_Latency_[usec]": 18, "Our_Latency_[usec]": 18},
}
"""Names of the columns and their widths."""

NOT_AVAILABLE = "N/A"
RULE = "=" * WIDTH

_TIME = r"(\d+\.\d+|N/A)"
_ROW = re.compile(
    r"\s*(\d+)x(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(-|\(\d+,\d+,\d+,\d+\))\s+(\d\.\d+)\s+(yes|no|N/A)\s+"
    + _TIME
    + r"\s+"
    + _TIME
    + r"\s*"
)
_BEGINS_ROW = re.compile(r"\s*\d+x\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: a block mask of one sparsity, whether the output is right, and the times of reference and kernel in
    microseconds; None stands for what was not compared or not timed."""

    block_shape: tuple[int, int]
    heads: int
    batch: int
    query_length: int
    key_length: int
    head_dim: int
    frame: FrameWidths | None
    sparsity: float
    equal: bool | None
    reference: float | None
    ours: float | None

    @property
    def line(self) -> str:
        """The row as it is printed; a dense mask shows no frame."""
        frame = self.frame if self.sparsity else None
        cells = (
            f"{self.block_shape[0]}x{self.block_shape[1]}",
            *(str(n) for n in (self.heads, self.batch, self.query_length, self.key_length, self.head_dim)),
            "-" if frame is None else f"({','.join(map(str, frame.as_tuple))})",
            f"{self.sparsity:.2f}",
            NOT_AVAILABLE if self.equal is None else "yes" if self.equal else "no",
            _time(self.reference),
            _time(self.ours),
        )
        return " ".join(cell.rjust(width) for cell, width in zip(cells, COLUMNS.values(), strict=True))


def heading(*, dtype: str, layout: str, sorted_indices: bool, reference: str) -> str:
    """Everything above the rows."""
    settings = f"  DTYPE=torch.{dtype}  INPUT_LAYOUT={layout!r}  SABI_SORTED={sorted_indices}"
    names = " ".join(name.rjust(width) for name, width in COLUMNS.items())
    return "\n".join((RULE, f"{settings}  TORCH_REFERENCE={reference!r}", RULE, names, "-" * WIDTH))


def rows_of(lines: Iterable[str], where: str) -> list[Row]:
    """The rows of a table, or of several; lines that begin no row are left out.

    Raises ValueError with the number of the line where a row is cut or no row, and where there is none.
    """
    found = []
    for number, line in enumerate(lines, start=1):
        if not _BEGINS_ROW.match(line):
            continue
        matched = _ROW.fullmatch(line)
        if matched is None:
            raise ValueError(f"{where}, line {number}: no whole row of {len(COLUMNS)} columns: {line.strip()!r:.120}")
        found.append(_row(matched))
    if not found:
        raise ValueError(f"{where}: no row of the table of the published benchmark, such as {EXAMPLE!r}")
    return found


def _row(matched: re.Match[str]) -> Row:
    query_block, key_block, heads, batch, queries, keys, head_dim = (int(word) for word in matched.groups()[:7])
    frame, sparsity, equal, reference, ours = matched.groups()[7:]
    return Row(
        block_shape=(query_block, key_block),
        heads=heads,
        batch=batch,
        query_length=queries,
        key_length=keys,
        head_dim=head_dim,
        frame=None if frame == "-" else FrameWidths(*(int(side) for side in frame.strip("()").split(","))),
        sparsity=float(sparsity),
        equal=None if equal == NOT_AVAILABLE else equal == "yes",
        reference=None if reference == NOT_AVAILABLE else float(reference),
        ours=None if ours == NOT_AVAILABLE else float(ours),
    )


def _time(microseconds: float | None) -> str:
    return NOT_AVAILABLE if microseconds is None else f"{microseconds:.2f}"


EXAMPLE = "128x128 3 1 118806 118806 128 (29,1,29,1) 0.90 N/A N/A 24609.61"
