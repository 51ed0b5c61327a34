"""A link that takes its time: `python -m benchmarks.link HOST PORT SECONDS` prints its port and forwards to HOST:PORT.

Each piece of data is passed on SECONDS after it came, in either direction; pieces under way do not wait for each
other. It ends with its standard input.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import socket
import sys
from collections import deque
from time import perf_counter

PIECE = 1 << 16
PR_SET_TIMERSLACK = 29


class Link:
    """One loop in one process: threads would wait for each other."""

    def __init__(self, host: str, port: int, delay: float) -> None:
        self._target = (host, port)
        self._delay = delay
        # One delay for all makes this a queue: what came first is due first.
        self._waiting: deque[tuple[float, socket.socket, bytes]] = deque()
        self._selector = selectors.SelectSelector()  # its timeout has microseconds, that of epoll milliseconds
        self._peers: dict[socket.socket, socket.socket] = {}
        self._half_closed: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            timeout = max(0.0, self._waiting[0][0] - perf_counter()) if self._waiting else None
            for key, _ in self._selector.select(timeout):
                if key.fileobj is sys.stdin:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._receive(key.fileobj)
            while self._waiting and self._waiting[0][0] <= perf_counter():
                _, target, data = self._waiting.popleft()
                self._send(target, data)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = socket.create_connection(self._target)
        for source, target in ((near, far), (far, near)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[source] = target
            self._selector.register(source, selectors.EVENT_READ)

    def _receive(self, source: socket.socket) -> None:
        try:
            data = source.recv(PIECE)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(source)
        self._waiting.append((perf_counter() + self._delay, self._peers[source], data))

    def _send(self, target: socket.socket, data: bytes) -> None:
        with contextlib.suppress(OSError):  # whoever left does not get it
            if data:
                target.sendall(data)
            else:
                target.shutdown(socket.SHUT_WR)
        if not data:
            self._half_closed.add(target)
            pair = {target, self._peers[target]}
            if pair <= self._half_closed:
                self._half_closed -= pair
                for each in pair:
                    del self._peers[each]
                    each.close()


def be_punctual() -> None:
    """Ask Linux for short sleeps that end in time; it may add 50 us otherwise."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
    with contextlib.suppress(OSError, AttributeError):
        os.nice(-5)


def main() -> None:
    host, port, delay = sys.argv[1:]
    be_punctual()
    link = Link(host, int(port), float(delay))
    print(link.port, flush=True)
    link.run()


if __name__ == "__main__":
    main()
