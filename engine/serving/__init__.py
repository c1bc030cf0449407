"""Requests in, tokens out: which sequences are in a pass, the pass itself, and the ranks that agree on both."""
