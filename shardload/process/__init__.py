"""Unix process craft: daemons, forking with care, reaping, signals, identities, the control FIFO.

It knows nothing of tables or Redis.
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
from shardload.process.control import ControlInbox, NobodyListens, Question
from shardload.process.daemon import Launch, Readiness, has_terminal, launch
from shardload.process.identity import (
    acting_as,
    become,
    ipc_namespace,
    is_alive,
    is_our_process,
    is_stopped,
    start_time,
)
from shardload.process.notify import ServiceManager
from shardload.process.signals import SignalInbox, signals_held, stop_by_exception

__all__ = [
    "ControlInbox",
    "Launch",
    "NobodyListens",
    "Question",
    "Readiness",
    "ServiceManager",
    "SignalInbox",
    "acting_as",
    "become",
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
    "signals_held",
    "spawn",
    "start_time",
    "stop_by_exception",
]
