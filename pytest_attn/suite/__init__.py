"""The packaged tests: `pytest --pyargs pytest_attn.suite --attn-kernel=...`."""
