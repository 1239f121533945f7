"""Several machines on one job, over Dask: the head, the machines, and what they say to each other."""
