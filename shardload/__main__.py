"""`python -m shardload` is the `shardload` command."""

from shardload.cli import main

main()
