"""Oracles: ways to the truth, independent of any kernel and of each other."""
