"""A worker: one process that receives ranges, does them and acknowledges them."""
