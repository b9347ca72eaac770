"""Isolation: processes of their own, for what one process cannot tell of itself."""
