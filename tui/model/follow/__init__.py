"""A load in another process, from before it begins until its trace is there."""
