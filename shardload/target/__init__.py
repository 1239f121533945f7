"""Redis and Valkey: connections, replies, errors, clusters and Sentinels. Only this folder imports hiredis."""

from shardload.target.asking import UNKNOWN_MS, Ages
from shardload.target.choice import Choice, Needs, choose_for_target, choose_payload, parse_hash
from shardload.target.commands import split_keys, words_of
from shardload.target.connection import CONNECT_TIMEOUT_S, IO_TIMEOUT_S, TargetConnection
from shardload.target.fencing import end_connections
from shardload.target.figures import TargetGauge
from shardload.target.probe import TargetFacts, Upkeep, ask_memory, describe_server
from shardload.target.replies import Kept
from shardload.target.scratch import MOST_TRIAL_BYTES, MOST_TRIALS, Measured, Trial, existing, measure, tag_for
from shardload.target.target import Target, open_target
from shardload.target.watched import Unwatchable, connection_of, watch, why_unwatchable, write_if_same

__all__ = [
    "CONNECT_TIMEOUT_S",
    "IO_TIMEOUT_S",
    "MOST_TRIALS",
    "MOST_TRIAL_BYTES",
    "UNKNOWN_MS",
    "Ages",
    "Choice",
    "Kept",
    "Measured",
    "Needs",
    "Target",
    "TargetConnection",
    "TargetFacts",
    "TargetGauge",
    "Trial",
    "Unwatchable",
    "Upkeep",
    "ask_memory",
    "choose_for_target",
    "choose_payload",
    "connection_of",
    "describe_server",
    "end_connections",
    "existing",
    "measure",
    "open_target",
    "parse_hash",
    "split_keys",
    "tag_for",
    "watch",
    "why_unwatchable",
    "words_of",
    "write_if_same",
]
