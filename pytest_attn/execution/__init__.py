"""Execution: one kernel on one case, from its id to a record."""
