"""What can be done with a job: prepare it, run it, verify it, look at it, control it, clean up after it."""
