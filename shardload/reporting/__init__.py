"""What a person is shown of a job: progress, summary, bars and lines."""
