"""Unix processes: start a daemon, fork, reap, handle signals, identify a process, serve the control FIFO.

Nothing here knows about tables or Redis.
"""

from shardload.process.children import (
    children_usage,
    describe_death,
    die_with_parent,
    fork_child,
    reap_all,
    set_title,
    spawn,
)
from shardload.process.control import ControlInbox, ControlRequest, NoListener
from shardload.process.daemon import Launch, Readiness, has_terminal, launch
from shardload.process.identity import (
    acting_as,
    become_user,
    ipc_namespace,
    is_alive,
    is_our_process,
    is_stopped,
    start_time,
)
from shardload.process.notify import ServiceManager
from shardload.process.signals import SignalInbox, signals_blocked, stop_by_exception

__all__ = [
    "ControlInbox",
    "ControlRequest",
    "Launch",
    "NoListener",
    "Readiness",
    "ServiceManager",
    "SignalInbox",
    "acting_as",
    "become_user",
    "children_usage",
    "describe_death",
    "die_with_parent",
    "fork_child",
    "has_terminal",
    "ipc_namespace",
    "is_alive",
    "is_our_process",
    "is_stopped",
    "launch",
    "reap_all",
    "set_title",
    "signals_blocked",
    "spawn",
    "start_time",
    "stop_by_exception",
]
