"""The self-check: planted bugs that the suite must find, and the least defects that it can find."""
