from array import array

from shardload.encoding.batch import Batch
from shardload.encoding.form import Form
from shardload.encoding.layout import Layout

class NativeEncoder:
    name: str
    replies_per_key: int
    def __init__(self, layout: Layout, form: Form) -> None: ...
    def route(self, routes: array[int] | None, /) -> None: ...
    def begin(self, sequence: int, now_ms: int = 0, /) -> None: ...
    def encode(self, data: bytes | bytearray | memoryview, /) -> Batch: ...

CONTINUED_BYTES: int  # a payload of this size goes on in the next packet
LONGEST_VALUE_BYTES: int  # a row that would become a longer one is set aside

def checksums(data: bytes) -> tuple[int, int]: ...
