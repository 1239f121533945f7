"""The encoder in Cython. It writes the same bytes as `encoding/reference.py`."""
