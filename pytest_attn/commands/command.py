"""What commands have in common."""

USAGE = 4
"""Exit status where what was asked for makes no sense, as pytest has it."""
