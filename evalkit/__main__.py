"""The command `evalkit`, and `python -m evalkit`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it with a line, also while it is still being loaded."""
    try:
        from evalkit.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
