"""What a person says about a job: flags, a TOML file, the environment, URLs."""
