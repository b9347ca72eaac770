"""How a kernel is tried: guarded buffers around every run, and checks that run it more than once."""
