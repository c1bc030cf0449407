"""A small serving engine whose loader executes the mappings and tells what it did."""
