"""`python -m shardload` is the `shardload` command."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """The command. A Ctrl-C while it is only being imported ends it without a word, as it ends any program."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from shardload.cli import main as command

    signal.signal(signal.SIGINT, handler)
    command()


if __name__ == "__main__":
    main()
