"""What could be the cause, one file a class: each proposes changes, and trying them tells."""
