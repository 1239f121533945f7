"""shardload warms Redis from a big MySQL table.

The way of a row: `job` plans the table into primary-key ranges and saves them in the `journal`;
the `coordinator` sends ranges over a SysV queue (`ipc`) to forked `worker` processes; a worker streams
a range's raw bytes out of MySQL (`source`), turns them into Redis commands (`encoding`), writes them and
accounts for every reply (`target`), shows its counts on the board (`ipc.board`) and acknowledges the range;
the coordinator settles the acknowledgement into the journal and shows the progress (`display`).
"""

__version__ = "0.1.0"  # the only place; pyproject.toml reads it here
