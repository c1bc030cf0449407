"""Numbers of two checkpoints against each other: read in rows, a bounded piece at a time. The only part with numpy."""
