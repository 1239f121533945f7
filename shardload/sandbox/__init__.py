"""Temporary servers and a table of synthetic users, for the demo and the tests. Not for production."""

from shardload.sandbox.servers import MysqlServer, RedisServer, Sandbox
from shardload.sandbox.users import seed

__all__ = ["MysqlServer", "RedisServer", "Sandbox", "seed"]
