"""The defaults that a user can set and that other folders go by."""

CPU_BUDGET = 80.0
"""GFLOP that a case may cost on a CPU where the user names no budget."""

SLOWDOWN = 0.05
"""Changes of speed up to this fraction of the time are within what is allowed."""

INCONCLUSIVE_RUNS = 3
"""Runs in a row that may leave a benchmark undecided, less one."""

SHRINK_SECONDS = 20
"""How long one failed cell is shrunk where the user names no time."""

BRIEFLY = 1.0
"""Seconds that the first failed cell of each cause is shrunk where the user says nothing of that."""

BRIEFLY_SHRUNK = 3
"""Causes of one process whose first cell is shrunk then."""

SHRUNK_CELLS = 5
"""Failed cells of one process that are shrunk; where everything fails, the first ones say as much as all."""
