"""Throwaway servers in a temporary directory, and synthetic users: for the demo and the tests. Never for production."""

from shardload.sandbox.servers import MysqlServer, RedisServer, Sandbox
from shardload.sandbox.users import seed

__all__ = ["MysqlServer", "RedisServer", "Sandbox", "seed"]
