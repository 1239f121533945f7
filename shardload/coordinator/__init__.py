"""The coordinator: plans are sent to workers, outcomes are noted, dead workers are replaced."""
