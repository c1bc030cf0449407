"""`python -m tracer` is `tracer`."""

import sys

if __name__ == "__main__":
    try:
        from tracer.cli import main

        sys.exit(main())
    except KeyboardInterrupt:  # while still importing
        print("tracer: interrupted", file=sys.stderr)
        sys.exit(130)
