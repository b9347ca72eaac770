"""The judge: what a correct kernel may differ by, and whether this one differs by more."""
