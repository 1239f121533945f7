"""Redis and Valkey: the only room that imports hiredis."""

from shardload.target.connection import TargetConnection
from shardload.target.probe import Choice, TargetFacts, choose_payload, describe_server, hash_of

__all__ = ["Choice", "TargetConnection", "TargetFacts", "choose_payload", "describe_server", "hash_of"]
