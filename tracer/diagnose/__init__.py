"""From what fails to the cause and the one change."""
