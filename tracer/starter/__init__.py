"""Rows for what no row claims: a file that `--mapping` accepts."""
