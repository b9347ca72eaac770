"""Built-in reference kernels, one per file."""
