"""Kernels with one planted bug each: what proves that the judge sees what it should."""
