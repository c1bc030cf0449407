"""Attention behind one signature: whole sequences by SDPA; later, pages of a cache."""
