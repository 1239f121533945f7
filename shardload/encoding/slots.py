"""Which hash slot of a Redis Cluster a key belongs to, and the routes from slots to nodes. Pure.

Source: the Redis Cluster specification, "Key distribution model" and "Hash tags".
"""

from __future__ import annotations

from array import array
from binascii import crc_hqx  # CRC16 of the XMODEM protocol, which is the one that the specification names
from collections.abc import Iterable

SLOTS = 16384


def slot_of(key: bytes) -> int:
    """The key's slot, 0 to 16383. If the key has a hash tag (`{tag}`, not empty), only the tag decides."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def make_routes(owners: Iterable[tuple[int, int, int]]) -> array[int]:
    """Routes for (first slot, last slot, node) triples: an `array("H")` with the node's number for each slot.

    A slot that no node has leads to node 0, which will say so.
    """
    routes = array("H", bytes(2 * SLOTS))
    for first, last, node in owners:
        routes[first : last + 1] = array("H", [node]) * (last + 1 - first)
    return routes
