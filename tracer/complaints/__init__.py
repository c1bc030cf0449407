"""Error messages and logs of serving engines, read for what they say of a checkpoint."""
