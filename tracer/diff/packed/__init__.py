"""Quantised weights: recognised by leaves, dtypes and shapes, and turned back into numbers piece by piece."""
