"""The commands of `python -m pytest_attn`: each reads its arguments, prints, and returns an exit status."""
