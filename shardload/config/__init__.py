"""A job's settings: read from flags, a TOML file and the environment, and validated."""
