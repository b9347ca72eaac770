"""What commands have in common."""

from __future__ import annotations

import sys
from collections.abc import Sequence

USAGE = 4
"""Exit status where what was asked for makes no sense, as pytest has it."""


def refuse_rest(rest: Sequence[str]) -> None:
    """Exit, as argparse does, with a sentence where arguments are left that the command has not."""
    if rest:
        print(f"python -m pytest_attn: unrecognized arguments: {' '.join(rest)}", file=sys.stderr)
        sys.exit(2)
