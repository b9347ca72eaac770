"""The fused inference attention score operator (FIAS): its arguments, a model of it, and the model as an oracle."""
