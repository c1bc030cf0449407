"""The terminal browser for a trace."""
