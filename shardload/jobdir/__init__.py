"""The files of a job: its directory (`directory`), the journal, `run.json` (`runfile`) and the log."""
