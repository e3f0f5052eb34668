"""`headway` on the command line, and `python -m headway`."""

import signal
import sys

EXTRA = ("click", "rich", "urllib3")
MISSING = 2  # the exit code for wrong usage: 1 would say that a task has failed

TERMINATED, INTERRUPTED = 128 + signal.SIGTERM, 128 + signal.SIGINT


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # a screen is left whole
    try:
        from headway.cli import headway
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA:
            raise
        install = "Install it with: pip install 'headway[cli]'"
        print(f"headway: {missing} is not installed. {install}", file=sys.stderr)
        sys.exit(MISSING)
    headway(prog_name="headway")


if __name__ == "__main__":
    main()
