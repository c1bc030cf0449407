"""A corrected copy of a checkpoint, never in place."""
