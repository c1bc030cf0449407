"""Reads what checkpoint files say about themselves, without trusting it and without torch."""
