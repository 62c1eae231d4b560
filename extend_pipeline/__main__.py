"""The program `extend-pipeline`: the command line, and a quiet end where Ctrl-C comes while that is still imported."""

import sys


def main() -> None:
    """Run `extend-pipeline`."""
    try:
        from extend_pipeline.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
