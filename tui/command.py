"""What `tracer browse` does once its options are read."""

from __future__ import annotations

import argparse
import sys

from tui.app import Browser
from tui.keys import as_toml, keymap_of


def browse(args: argparse.Namespace) -> int:
    """Run the browser; the exit status. Raises UsageError for a key map that is none."""
    if args.help_keys:
        sys.stdout.write(as_toml(Browser))
        return 0
    app = Browser(args.what, args.tp, keymap_of(args.keys, Browser))
    status = app.run()
    if app.failed:
        print(f"tracer: {app.failed}", file=sys.stderr)
    return status or 0
