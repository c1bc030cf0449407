"""Writes a trace and its findings for people: terminal, JSON Lines, HTML."""
