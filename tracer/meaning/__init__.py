"""Whether values mean what their place says: what loads and would talk nonsense."""
