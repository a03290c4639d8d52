"""WebSocket clients that check each echo, and the server that sends it: `echoes.py PORT`."""

import asyncio
import collections
import contextlib
import random
import ssl
import sys
import threading

import websockets

# The library renamed the option in its version 14.
HEADERS = "extra_headers" if int(websockets.__version__.split(".")[0]) < 14 else "additional_headers"
CLOSED = (websockets.WebSocketException, asyncio.TimeoutError)
STEADY, FLEETING = 6, 4
PAUSE = 0.1
PATIENCE = 10
MESSAGES_OF_A_FLEETING_ONE = 40


class Echoes(threading.Thread):
    """Clients that hold a connection as long as the soak lasts, and some that come and go; half of each over TLS."""

    def __init__(self, course, stage, token: str):
        super().__init__(name="WebSockets", daemon=True)
        self.course, self.token = course, token
        self.urls = stage.socket_urls()
        self.echoed, self.opened = collections.Counter(), collections.Counter()
        self.problems, self.stillborn = [], []
        self.out = set()  # the fleeting ones that are about to come, or there
        course.visitors.append(self)

    @property
    def rests(self) -> bool:
        return not self.out

    def run(self):
        asyncio.run(self.all())

    async def all(self):
        steady = [self.client(number, None) for number in range(STEADY)]
        fleeting = [self.client(STEADY + number, MESSAGES_OF_A_FLEETING_ONE) for number in range(FLEETING)]
        await asyncio.gather(*steady, *fleeting)

    async def client(self, number: int, messages: int | None):
        """Repeats connections of so many messages; with `None`, the first one is to last until the end."""
        while not self.course.ended.is_set():
            if messages is not None:
                self.out.add(number)
                if not self.course.room.is_set():
                    self.out.discard(number)
                    await asyncio.sleep(0.2)
                    continue
            await self.attempt(number, messages)
            self.out.discard(number)

    async def attempt(self, number: int, messages: int | None):
        opened, echoed = self.opened[number], self.echoed[number]
        try:
            await self.connection(number, messages)
        except (OSError, AssertionError, *CLOSED) as problem:
            text = f"{self.course.clock()} client {number}: {type(problem).__name__} {problem}"
            is_stillborn = self.opened[number] > opened and self.echoed[number] == echoed and isinstance(problem, CLOSED)
            (self.stillborn if is_stillborn else self.problems).append(text)
            await asyncio.sleep(1)

    async def connection(self, number: int, messages: int | None):
        async with connect(self.urls[number % 2], self.token) as connection:
            self.opened[number] += 1
            sent = 0
            while not self.course.ended.is_set() and (messages is None or sent < messages):
                await self.exchange(connection, number, sent)
                sent += 3
                await asyncio.sleep(PAUSE)

    async def exchange(self, connection, number: int, first: int):
        """Three messages under way at once, short and long, so that a swapped or cut one shows."""
        messages = [f"{number} {first + place} " + "x" * random.choice((0, 10, 200, 5000, 70_000)) for place in range(3)]
        for message in messages:
            await connection.send(message)
        for message in messages:
            echo = await asyncio.wait_for(connection.recv(), PATIENCE)
            assert echo == message, f"{echo[:20]!r} of {len(echo)} instead of {message[:20]!r} of {len(message)}"
            self.echoed[number] += 1


def connect(url: str, token: str):
    options = {HEADERS: {"Authorization": f"Bearer {token}"}, "open_timeout": PATIENCE}
    if url.startswith("wss"):
        options["ssl"] = trusting()
    return websockets.connect(url, **options)


def cut_off(url: str, token: str, act, seconds: float) -> bool:
    """Whether a connection, open and in use, ends within `seconds` of an act of the operator."""
    async def use():
        async with connect(url, token) as connection:
            await connection.send("before")
            assert await asyncio.wait_for(connection.recv(), PATIENCE) == "before"
            await asyncio.to_thread(act)
            return await talk_on(connection, seconds)

    return asyncio.run(use())


async def talk_on(connection, seconds: float) -> bool:
    end = asyncio.get_running_loop().time() + seconds
    try:
        while asyncio.get_running_loop().time() < end:
            await connection.send("after")
            await asyncio.wait_for(connection.recv(), PATIENCE)
            await asyncio.sleep(PAUSE)
    except websockets.ConnectionClosed:
        return True
    return False


def trusting() -> ssl.SSLContext:
    """The certificate is replaced again and again; whether the right one is shown is looked at elsewhere."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def serve(port: int):
    async def echo(connection):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    async with websockets.serve(echo, "127.0.0.1", port):
        await asyncio.Future()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1])))
