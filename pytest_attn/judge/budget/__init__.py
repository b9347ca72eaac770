"""The budget: what rounding allows a correct kernel to be off by."""
