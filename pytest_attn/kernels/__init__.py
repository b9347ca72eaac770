"""Kernels: who computes it. What a kernel claims, how it is called, what it returns, where it is found."""
