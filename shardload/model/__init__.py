"""The nouns and rules that every folder may use. Nothing here reads files, asks servers or waits."""
