"""Private files of one user: opened only after a check of owner and type, and written whole or not at all.

This is a folder of its own because ipc, process and jobdir all need it, and these do not import each other.
"""
