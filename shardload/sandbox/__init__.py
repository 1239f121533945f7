"""Temporary servers and a table of synthetic users, for the demo and the tests. Not for production."""

from shardload.sandbox.cluster import ClusterNode, RedisCluster
from shardload.sandbox.sentinels import Sentinels
from shardload.sandbox.servers import MysqlServer, RedisServer, Sandbox
from shardload.sandbox.users import seed

__all__ = ["ClusterNode", "MysqlServer", "RedisCluster", "RedisServer", "Sandbox", "Sentinels", "seed"]
