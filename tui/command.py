"""What `tracer browse` does once its options are read."""

from __future__ import annotations

import argparse
import gc
import sys

from tui.app import Browser
from tui.ending import Ending
from tui.keys import as_toml, keymap_of

TURN = 0.0005
"""Seconds after which a thread that computes lets the one go on that draws. Python's own 5 ms are waited for several
times a frame, as each look for more to do is a wait: a key would be answered after 50 ms as long as the checkpoint is
examined. Computing itself does not become slower by it."""


def browse(args: argparse.Namespace) -> int:
    """Run the browser; the exit status. Raises UsageError for a key map that is none."""
    if args.help_keys:
        sys.stdout.write(as_toml(Browser))
        return 0
    sys.setswitchinterval(TURN)
    app = Browser(args.what, args.tp, keymap_of(args.keys, Browser))
    # To go through for garbage what stays, here as long as the process, would be felt when a key is pressed.
    app.kept = gc.freeze
    status = Ending(app).run()
    if app.failed:
        print(f"tracer: {app.failed}", file=sys.stderr)
    return status or app.return_code or 0
