"""A job's files: its directory, the journal, `run.json`, the log."""
