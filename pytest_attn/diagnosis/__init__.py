"""A red verdict explained: a few extra runs of the kernel, and hypotheses that must account for its error."""
