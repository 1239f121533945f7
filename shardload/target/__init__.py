"""Redis and Valkey: the only room that imports redis and hiredis."""

from shardload.target.connection import TargetConnection
from shardload.target.probe import UNKNOWN_LIFE, Choice, TargetFacts, choose_payload, describe_server

__all__ = ["UNKNOWN_LIFE", "Choice", "TargetConnection", "TargetFacts", "choose_payload", "describe_server"]
