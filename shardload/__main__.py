"""`python -m shardload` is the `shardload` command."""

import signal
import sys
from typing import NoReturn

from shardload.config.passwords import word_without_password


def main() -> NoReturn:
    """The command. A Ctrl-C while it is only being imported ends it without a word, as it ends any program."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whoever blocks TERM hands that on, and nothing could be stopped
    _hide_passwords()
    from shardload.cli import main as command

    signal.signal(signal.SIGINT, handler)
    command()


def _hide_passwords() -> None:
    """What was typed is what `ps` shows to everybody: from here on without passwords. Imports come later."""
    shown = [word_without_password(word) for word in sys.argv[1:]]
    if shown != sys.argv[1:]:
        import setproctitle

        setproctitle.setproctitle(" ".join(["shardload", *shown]))


if __name__ == "__main__":
    main()
