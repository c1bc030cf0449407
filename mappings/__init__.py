"""The language of placement: which checkpoint tensor goes where in the engine's parameters."""
