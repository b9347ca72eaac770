"""Devices: whether one is there, the machine it belongs to, and the cores that work is shared out to."""
