"""Textual widgets: small programs around the pages of `tui.model`."""
