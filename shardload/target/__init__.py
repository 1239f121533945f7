"""Redis and Valkey: the only room that imports redis and hiredis."""

from shardload.target.connection import TargetConnection
from shardload.target.probe import Choice, TargetFacts, choose_payload, describe_server

__all__ = ["Choice", "TargetConnection", "TargetFacts", "choose_payload", "describe_server"]
