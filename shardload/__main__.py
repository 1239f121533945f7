"""The `shardload` command, also started by `python -m shardload`."""

import signal
import sys
from typing import NoReturn

from shardload.config.passwords import word_without_password


def main() -> NoReturn:
    """Run the command and exit. Ctrl-C during the imports ends the process without a traceback."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a parent may have blocked TERM, and a blocked TERM stops nothing
    _hide_passwords()
    from shardload.cli import main as command

    signal.signal(signal.SIGINT, handler)
    command()


def _hide_passwords() -> None:
    """Hide passwords in the command line that `ps` shows to all users. Done before the slow imports."""
    shown = [word_without_password(word) for word in sys.argv[1:]]
    if shown != sys.argv[1:]:
        import setproctitle

        setproctitle.setproctitle(" ".join(["shardload", *shown]))


if __name__ == "__main__":
    main()
