"""Slower than before? Stored runs, what they lead to expect, a decision per case. Imports neither torch nor pytest."""
