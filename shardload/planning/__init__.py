"""From a key's bounds and estimates to ranges. Pure: it asks its questions through a small protocol."""

from shardload.planning.split import KeySpace, split

__all__ = ["KeySpace", "split"]
