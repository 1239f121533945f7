"""The nouns and rules that every room may use. Nothing here reads a file, asks a server or waits."""
