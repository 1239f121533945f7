"""The encoder in Cython: `NativeEncoder` in `_native.pyx`. It writes the same bytes as `encoding/reference.py`."""
