"""Redis and Valkey: the only room that imports redis and hiredis."""

from shardload.target.connection import TargetConnection
from shardload.target.probe import TargetFacts, check_writable, describe_server

__all__ = ["TargetConnection", "TargetFacts", "check_writable", "describe_server"]
