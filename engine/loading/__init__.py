"""One rank's parameters: built, and filled from a weight source while a recorder looks on."""
