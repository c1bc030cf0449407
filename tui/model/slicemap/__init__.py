"""The picture of a parameter: its parts, what each rank holds of them, and its experts."""
