"""What the judge takes from measurements, and not from a derivation: each constant with the script that gives it.

`python benchmarks/constants.py` measures all of them anew. The figures named here are of 28 November 2026, torch 2.13
with MKL on an x86 CPU with AVX-512. A constant changes where that script says so, or `benchmarks/calibration.py` over
more cells.
"""

from __future__ import annotations

MODEL = 1.15
"""How far the RMS of all deviations may lie above the limit of normal ones, whose standard deviations are the model's.

`benchmarks/constants.py model`: over 756 cells of `eager`, `sdpa` and `block_sparse`, outputs and gradients, three
seeds, the RMS of error over budget is 0.68 to 1.04, and 0.991 of the limit without this factor at most. That limit
tends to 1 where rows are many: the model may understate variances by 32 %, and was seen to by 8 %."""

NO_REPEATS = 1.05
"""Where equal logits raise the variance of summed roundings by more than this, errors of different rows may be one
error: no statistic of all rows is taken.

`benchmarks/constants.py repeats`: recipes that draw their logits reach 1.011, those of equal ones begin at 6.9."""

SHORTEST_CHAIN = 4
"""The longest chain of a sum, which is declared, over the shortest that is expected.

`benchmarks/constants.py chains`: products of 8 rows and more, declared to add 512 terms in a chain at most, round as
chains of 176 to 200 do, a ratio of 2.6 to 2.9. Both ends count, as what a chain rounds is convex in its length."""

CHANGE_ROUNDINGS = 4
"""Roundings of a logit that a variant changes: of the change and of its sum, in the kernel and in the reference.

Counted. `benchmarks/constants.py changes`: hardly anything hangs on it; with any number from 0 to 8 no cell of `eager`
and `naive` is red, and the largest share of an LSE's limit is between 0.61 and 0.54."""
