"""Unix process craft: forking with care, reaping, signals, identities. Knows nothing of tables or Redis."""

from shardload.process.children import children_usage, describe_death, die_with_parent, fork_child, reap_all, set_title
from shardload.process.identity import is_alive, start_time
from shardload.process.signals import SignalInbox, stop_by_exception

__all__ = [
    "SignalInbox",
    "children_usage",
    "describe_death",
    "die_with_parent",
    "fork_child",
    "is_alive",
    "reap_all",
    "set_title",
    "start_time",
    "stop_by_exception",
]
