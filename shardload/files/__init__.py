"""Files that are this user's alone, opened and written with care.

Several edges (ipc, process, jobdir) need them, and edges do not import each other.
"""
