"""Benchmarks that others published, re-created over the same problems, kernels, judge and clocks as everything else."""
