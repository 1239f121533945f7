"""Redis and Valkey: connections, replies, errors and a probe. Only this folder imports hiredis."""

from shardload.target.connection import CONNECT_TIMEOUT_S, IO_TIMEOUT_S, TargetConnection
from shardload.target.probe import Choice, TargetFacts, choose_payload, describe_server, parse_hash

__all__ = [
    "CONNECT_TIMEOUT_S",
    "IO_TIMEOUT_S",
    "Choice",
    "TargetConnection",
    "TargetFacts",
    "choose_payload",
    "describe_server",
    "parse_hash",
]
