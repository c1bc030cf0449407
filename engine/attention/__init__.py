"""Attention behind one signature: whole sequences by SDPA, pages of a cache by SDPA or by PyTorch's paged kernel."""
