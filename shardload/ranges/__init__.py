"""Ranges: how a table is split, who holds which range, and what became of each. No I/O, no processes."""
