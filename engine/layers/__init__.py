"""Layers that know how their parameters are cut over ranks."""
