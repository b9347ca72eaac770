"""The defaults that a user can set and that other folders go by."""

SLOWDOWN = 0.05
"""Changes of speed up to this fraction of the time are within what is allowed."""

INCONCLUSIVE_RUNS = 3
"""Runs in a row that may leave a benchmark undecided, less one."""

SHRINK_SECONDS = 20
"""How long one failed cell is shrunk where the user names no time."""

SHRUNK_CELLS = 5
"""Failed cells of one process that are shrunk; where everything fails, the first ones say as much as all."""
