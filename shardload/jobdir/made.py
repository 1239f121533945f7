"""The keys that a job's done ranges have made, by their fingerprints. Of a range's tries only the one counts that did
it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shardload.encoding.fingerprints import BYTES
from shardload.jobdir.directory import JobDirectory
from shardload.jobdir.fingerprints import Record, Try, records
from shardload.jobdir.journal import Journal


@dataclass(frozen=True)
class MadeKeys:
    """How many keys there are fingerprints of, and how many done ranges have none, although they made keys."""

    keys: int
    ranges_lost: int
    _path: Path
    _chosen: Mapping[int, Try]

    def records(self) -> Iterator[Record]:
        """The fingerprints, record by record. OSError or JobForeign if they cannot be read."""
        for record in records(self._path):
            if self._chosen.get(record.of.range_id) == record.of:
                yield record


def made_keys(directory: JobDirectory, journal: Journal) -> MadeKeys:
    """What the job's files say. OSError or JobForeign if they cannot be read, JournalError if the journal cannot."""
    done = journal.done_tries()
    sizes: dict[Try, int] = {}
    chosen: dict[int, Try] = {}
    for record in records(directory.path):
        one = record.of
        if one.range_id in done and done[one.range_id][0] == one.attempt:
            sizes[one] = sizes.get(one, 0) + len(record.fingerprints)
            if record.is_last and (one.range_id not in chosen or chosen[one.range_id].begun_ns < one.begun_ns):
                chosen[one.range_id] = one
    lost = [number for number, (_, keys) in done.items() if keys and number not in chosen]
    return MadeKeys(sum(sizes[one] for one in chosen.values()) // BYTES, len(lost), directory.path, chosen)
