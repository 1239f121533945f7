"""A result that is cut short with a clean end, and whose rest comes later: every row is loaded all the same."""

from __future__ import annotations

import select
import socket
import threading
from dataclasses import replace

import pytest

from tests.harness import World, by_id
from tests.unit import wire

_WHOLE_PACKETS = 500  # head and rows that are handed on of the one result that is cut


class Cutter:
    """A way to MySQL that once, in the result of the n-th range, puts an end packet before the rest of the rows.
    They follow before the answer to the client's next command, numbered as they were."""

    def __init__(self, world: World, nth: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._there = (world.mysql.host, world.mysql.port)
        self.url = replace(world.mysql, host="127.0.0.1", port=self._listener.getsockname()[1])
        self._left = nth
        self.has_cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        """One connection, until either end closes it."""
        is_cut, rest = False, b""
        with client, socket.create_connection(self._there) as server:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    try:
                        data = ready.recv(1 << 16)
                    except ConnectionError:
                        return
                    if not data:
                        return
                    if ready is client:
                        if b"FORCE INDEX" in data and not self.has_cut:
                            self._left -= 1
                            is_cut = self._left == 0
                        elif rest:
                            client.sendall(rest)
                            is_cut, rest = False, b""
                        server.sendall(data)
                    elif is_cut:
                        rest += data
                        if not self.has_cut and (cut := self._cut_at(rest)):
                            self.has_cut = True
                            end, _ = wire.packets(wire.END, _WHOLE_PACKETS + 1 & 0xFF)
                            client.sendall(rest[:cut] + end)
                            rest = rest[cut:]
                    else:
                        client.sendall(data)

    def _cut_at(self, data: bytes) -> int:
        """Behind the last packet that is handed on; 0 if it is not all there."""
        at = 0
        for _ in range(_WHOLE_PACKETS):
            if at + 4 > len(data):
                return 0
            at += 4 + int.from_bytes(data[at : at + 3], "little")
        return at if at < len(data) else 0

    def close(self) -> None:
        """No new connection."""
        self._listener.close()


@pytest.mark.parametrize(("range_rows", "nth"), [("2000", 2), ("1000000", 1)], ids=["between ranges", "at the end"])
def test_a_result_that_goes_on_behind_its_end(world: World, range_rows: str, nth: int) -> None:
    """The next query finds the rest, or where none follows, a ping does; the range is loaded again, and nobody is
    blamed."""
    world.make_table("cut", "id INT PRIMARY KEY, body CHAR(100)")
    world.execute("INSERT INTO cut VALUES " + ", ".join(f"({n}, 'x{n}')" for n in range(9000)), "ANALYZE TABLE cut")
    cutter = Cutter(world, nth)
    words = ("--table", "cut", "--key", "user:{id}", "--workers", "1", "--range-rows", range_rows)
    done = world.run("run", *words, "--json", SHARDLOAD_MYSQL_URL=cutter.url.with_password())
    cutter.close()
    assert cutter.has_cut
    assert done.code == 0, done.err
    assert done.summary["rows_read"] == done.summary["keys_written"] == world.assert_exact("cut", by_id) == 9000
