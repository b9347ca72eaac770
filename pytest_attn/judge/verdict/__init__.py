"""The verdict: what is wrong with a result, under the budget or a flat tolerance."""
