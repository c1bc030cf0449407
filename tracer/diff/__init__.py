"""What differs between two checkpoints or two traces."""
