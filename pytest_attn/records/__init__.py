"""Records: what a run found out, as plain data. Imports neither torch nor pytest."""
