"""A proxy between a driver and the server: counts round trips and reads what the client sends."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

_KINDS = {b"Q": "Query", b"P": "Parse", b"B": "Bind", b"E": "Execute", b"S": "Sync"}
_ENCRYPTION_REQUESTS = (80877103, 80877104)
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Message:
    """A message of the client; of other kinds than those that carry statements only the type byte is known."""

    kind: str
    #: The text of a Query or Parse.
    sql: str = ""
    #: The parameters of a Bind, as the server receives them.
    values: tuple[bytes | None, ...] = ()


@dataclass
class Recording:
    """What passed, on all connections.

    A round trip is a turn of the conversation: all that a client sends before the server answers counts
    once, however many messages it holds. A client waits for a whole answer before it goes on, so the
    number depends on no timing.
    """

    round_trips: int = 0
    messages: list[Message] = field(default_factory=list)

    @property
    def statements(self) -> list[str]:
        """The texts of all statements."""
        return [message.sql for message in self.messages if message.kind in ("Query", "Parse")]

    @property
    def values(self) -> list[bytes]:
        """The bound values of all statements."""
        return [value for message in self.messages for value in message.values if value is not None]


class Proxy:
    """Listens on 127.0.0.1 for the length of a block and passes everything on to a server."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._lock = threading.Lock()
        self._recording: Recording | None = None
        self._connections: list[_Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Proxy:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(10)
        for connection in self._connections:
            connection.close()

    @contextlib.contextmanager
    def recorded(self) -> Iterator[Recording]:
        """Record what passes within a block; the connections must be idle when it begins."""
        with self._lock:
            recording = self._recording = Recording()
            for connection in self._connections:
                connection.client_spoke = False
        try:
            yield recording
        finally:
            with self._lock:
                self._recording = None

    def client_says(self, connection: _Connection, message: Message) -> None:
        with self._lock:
            connection.client_spoke = True
            if self._recording is not None:
                self._recording.messages.append(message)

    def server_answers(self, connection: _Connection) -> None:
        with self._lock:
            if connection.client_spoke and self._recording is not None:
                self._recording.round_trips += 1
            connection.client_spoke = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            self._connections.append(_Connection(self, client, server))


class _Connection:
    """One connection of a client and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.client_spoke = False
        self._proxy = proxy
        self._client = client
        self._server = server
        for one_end in (client, server):
            one_end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._threads = [threading.Thread(target=pump, daemon=True) for pump in (self._from_client, self._from_server)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._hang_up()
        for thread in self._threads:
            thread.join(10)
        self._client.close()
        self._server.close()

    def _hang_up(self) -> None:
        for one_end in (self._client, self._server):
            with contextlib.suppress(OSError):
                one_end.shutdown(socket.SHUT_RDWR)

    def _from_client(self) -> None:
        received = bytearray()
        started = False
        with contextlib.suppress(OSError):
            while chunk := self._client.recv(_CHUNK):
                received += chunk
                passed_on = bytearray()
                while packet := _take_packet(received, typed=started):
                    if not started and _code(packet) in _ENCRYPTION_REQUESTS:
                        self._client.sendall(b"N")
                        continue
                    self._proxy.client_says(self, _read(packet) if started else Message("Startup"))
                    started = True
                    passed_on += packet
                self._server.sendall(passed_on)
        self._hang_up()

    def _from_server(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := self._server.recv(_CHUNK):
                self._proxy.server_answers(self)
                self._client.sendall(chunk)
        self._hang_up()


def _take_packet(received: bytearray, *, typed: bool) -> bytes:
    """Remove the first whole message, with its type byte and its length; empty if there is none yet."""
    head = 1 if typed else 0
    if len(received) < head + 4:
        return b""
    (length,) = struct.unpack_from("!i", received, head)
    if len(received) < head + length:
        return b""
    packet = bytes(received[: head + length])
    del received[: head + length]
    return packet


def _code(packet: bytes) -> int:
    """Return the number by which the first message of a client is told."""
    (code,) = struct.unpack_from("!i", packet, 4)
    return int(code)


def _read(packet: bytes) -> Message:
    kind, body = packet[:1], packet[5:]
    name = _KINDS.get(kind, kind.decode("latin-1"))
    if kind == b"Q":
        return Message(name, sql=body[:-1].decode())
    if kind == b"P":
        return Message(name, sql=body.split(b"\0", 2)[1].decode())
    if kind == b"B":
        return Message(name, values=tuple(_bound_values(body)))
    return Message(name)


def _bound_values(body: bytes) -> Iterator[bytes | None]:
    portal_end = body.index(b"\0")
    at = body.index(b"\0", portal_end + 1) + 1
    (formats,) = struct.unpack_from("!h", body, at)
    at += 2 + 2 * formats
    (count,) = struct.unpack_from("!H", body, at)
    at += 2
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        yield None if length < 0 else body[at : at + length]
        at += max(length, 0)
