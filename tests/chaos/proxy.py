"""A TCP proxy that fails on demand: what stands between one party and its server.

It runs in a thread of its own. All its methods may be called from any thread and return when it is done.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Self, TypeVar

from tests.chaos.shapes import Cut, Shape, replies, whole
from tests.processes import HOST

T = TypeVar("T")

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: whoever closes sends RST


class Line:
    """One connection through the proxy: the party's, and the one to its server."""

    def __init__(self) -> None:
        self.subscribed = False  # it hears what Redis publishes
        self.shape: Shape = whole  # of what the server says
        self.flows = asyncio.Event()
        self.flows.set()
        self.mute = False  # the next thing the server says is lost, and the line with it
        self._writers: list[asyncio.StreamWriter] = []

    def cut(self, *, reset: bool = False) -> None:
        for writer in self._writers:
            if reset:
                connection = writer.get_extra_info("socket")
                with suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        self.flows.set()

    async def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with suppress(OSError):
                await writer.wait_closed()

    def open(self, *writers: asyncio.StreamWriter) -> None:
        self._writers += writers


class Proxy:
    """Stands before the server on `target`, which may be changed: new connections go to the new one."""

    def __init__(self, target: int, *, buffer: int | None = None) -> None:
        self.target = target
        self.port = 0
        self.lines: set[Line] = set()
        self.refusing = False  # nobody is let through
        self.freezing = False  # whoever connects hears nothing
        self.losing: Callable[[bytes], bool] = lambda _: False  # published messages that are lost
        self.lost = 0
        self.mute_replies = 0  # to scripts, which are still to be lost
        self.shaping: Callable[[Line], Shape] = lambda _: whole  # of the lines to come
        self._buffer = buffer  # bytes the kernel may hold of what the server says
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, HOST, self.port))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def redis_url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def web_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    # -- faults ----------------------------------------------------------------------------------------------

    def cut(self, which: Callable[[Line], bool] = lambda _: True, *, reset: bool = False) -> int:
        """End lines, by FIN or by RST; says how many."""
        return self._each(which, lambda line: line.cut(reset=reset))

    def count(self, which: Callable[[Line], bool]) -> int:
        return self._each(which, lambda _: None)

    def freeze(self, which: Callable[[Line], bool] = lambda _: True) -> int:
        """Half-open lines: both ends believe in them, and nothing passes. Only `cut` or `thaw` ends that."""
        return self._each(which, lambda line: line.flows.clear())

    def thaw(self) -> None:
        """What was held back passes, as after an interruption that TCP survived."""
        self.freezing = False
        self._each(lambda _: True, lambda line: line.flows.set())

    def isolate(self) -> None:
        """As if the party's network were gone."""
        self.freezing = True
        self.freeze()

    def switch(self, target: int) -> None:
        """The server is another one from now on."""
        self.target = target
        self.freezing = False
        self.cut(reset=True)

    # -- the lines -------------------------------------------------------------------------------------------

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def _each(self, which: Callable[[Line], bool], act: Callable[[Line], object]) -> int:
        async def work() -> int:
            chosen = [line for line in self.lines if which(line)]
            for line in chosen:
                act(line)
            return len(chosen)

        return int(self._do(work()))

    async def _close(self) -> None:
        self._server.close()
        while self.lines:
            for line in list(self.lines):
                line.cut()
            await asyncio.sleep(0.01)
        ours = asyncio.all_tasks() - {asyncio.current_task()}
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line()
        line.shape = self.shaping(line)
        line.open(writer)
        self.lines.add(line)
        try:
            if self.refusing:
                line.cut(reset=True)
                return
            if self.freezing:
                line.flows.clear()
                await line.flows.wait()
            answers, server = await self._connect()
            line.open(server)
            await asyncio.gather(
                self._pump(reader, server, line, lambda data: self._ask(line, data)),
                self._pump(answers, writer, line, lambda data: self._answer(line, data)),
            )
        except OSError:
            line.cut(reset=True)
        except Cut:
            await line.hang_up()
        finally:
            line.cut()
            self.lines.discard(line)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = socket.socket()
        if self._buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, (HOST, self.target))
        except BaseException:
            connection.close()
            raise
        return await asyncio.open_connection(sock=connection)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        line: Line,
        shape: Shape,
    ) -> None:
        while data := await source.read(65536):
            await line.flows.wait()
            for piece in shape(data):
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                else:
                    await line.flows.wait()
                    sink.write(piece)
                    await sink.drain()
        await line.flows.wait()  # a half-open line does not say that its other end is gone
        sink.close()

    def _ask(self, line: Line, data: bytes) -> Iterable[bytes | float]:
        if not line.subscribed and b"SUBSCRIBE" in data:
            line.subscribed, line.shape = True, replies(self._heard, line.shape)
        if self.mute_replies and b"EVALSHA" in data:
            self.mute_replies -= 1
            line.mute = True
        return [data]

    def _answer(self, line: Line, data: bytes) -> Iterable[bytes | float]:
        if line.mute:
            raise ConnectionResetError
        return line.shape(data)

    def _heard(self, reply: bytes) -> bool:
        """Whether the party hears it: some published messages are lost."""
        lost = reply.startswith(b"*3\r\n$7\r\nmessage\r\n") and self.losing(reply)
        self.lost += lost
        return not lost
