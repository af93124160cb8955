"""A push-server for each test, and clients for it: what the tests of the server share."""

import asyncio
import http.client
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
import urllib.parse

import websockets

DEADLINE = 20  # seconds for whatever must happen soon
AT_ONCE = 6  # tests
TESTS = []


class Failure(Exception):
    pass


def test(*options):
    """A test, an async function of a Server that is started with these options."""

    def add(function):
        TESTS.append((function, options))
        return function

    return add


def equal(got, expected, what=""):
    if got != expected:
        raise Failure(f"{what or 'got'}: {got!r}, expected {expected!r}")


def check(condition, what):
    if not condition:
        raise Failure(what)


async def soon(function, what):
    """Waits until function() is true."""
    end = time.monotonic() + DEADLINE
    while True:
        value = function()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not within {DEADLINE} s: {what}")
        await asyncio.sleep(0.01)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    """The program, on a port of its own."""

    def __init__(self, program, www, options=()):
        self.process = subprocess.Popen(
            # It ends with the tests, whatever ends them.
            ["setpriv", "--pdeathsig", "KILL", program, "--port", "0", "--www", www, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        match = re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)/\n", line)
        if match is None:
            self.process.kill()
            raise Failure(f"the server said {line!r}, {self.process.stderr.read()!r}")
        self.port = int(match[1])

    # ---- HTTP ----

    def url(self, path, scheme="http"):
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def _request(self, method, path, body, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE + 60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    async def request(self, method, path, body=None, headers={}, **args):
        query = urllib.parse.urlencode({k: v for k, v in args.items() if v is not None}, quote_via=urllib.parse.quote)
        if query:
            path += "?" + query
        return await asyncio.to_thread(self._request, method, path, body, headers)

    async def get(self, path, **args):
        return await self.request("GET", path, **args)

    async def push(self, user, text, **args):
        body = text if isinstance(text, bytes) else text.encode()
        answer = await self.request("POST", "/push", body, user=user, **args)
        equal(answer.status, 200, f"push {answer.body!r}")
        return answer.json

    async def stats(self):
        return (await self.get("/stats")).json

    async def poll(self, user, device, **args):
        answer = await self.get("/poll", user=user, device=device, **args)
        equal(answer.status, 200, f"poll {answer.body!r}")
        return answer.json

    async def connected(self, count):
        async def right():
            return (await self.stats())["connected"] == count

        await soon(right, f"{count} connections")

    # ---- Receivers ----

    async def ws(self, user, device, **args):
        options = {"origin": args.pop("origin", None), "ping_interval": None, "subprotocols": args.pop("subprotocols", None)}
        query = urllib.parse.urlencode(dict(user=user, device=device, **args), quote_via=urllib.parse.quote)
        socket = await websockets.connect(self.url(f"/ws?{query}", "ws"), **options)
        return WebSocket(socket, json.loads(await asyncio.wait_for(socket.recv(), DEADLINE)))

    async def events(self, user, device, last=None):
        stream = EventStream(*await asyncio.open_connection("127.0.0.1", self.port))
        query = urllib.parse.urlencode(dict(user=user, device=device), quote_via=urllib.parse.quote)
        await stream.begin(f"/events?{query}", last)
        return stream

    async def raw(self, data):
        """Sends bytes, and returns all that comes until the server hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), DEADLINE + 20)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    # ---- The end ----

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    async def wait(self):
        """Returns its exit status and what it said on standard error."""
        try:
            _, err = await asyncio.to_thread(self.process.communicate, None, DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure("the server does not end") from None
        return self.process.returncode, err


class WebSocket:
    def __init__(self, socket, hello):
        self.socket, self.hello = socket, hello
        equal(hello["type"], "hello", "the first frame")

    async def message(self):
        frame = json.loads(await asyncio.wait_for(self.socket.recv(), DEADLINE))
        equal(frame["type"], "message", "a frame")
        return frame

    async def texts(self, count):
        return [(await self.message())["message"]["text"] for _ in range(count)]

    async def nothing(self, seconds=0.2):
        try:
            frame = await asyncio.wait_for(self.socket.recv(), seconds)
        except asyncio.TimeoutError:
            return
        raise Failure(f"got {frame!r}")

    async def ack(self, number, **more):
        await self.socket.send(json.dumps({"ack": number, **more}))

    async def closed(self):
        """Returns the close code; messages before it are passed over."""
        try:
            while True:
                await asyncio.wait_for(self.socket.recv(), DEADLINE)
        except websockets.ConnectionClosed as e:
            return e.rcvd.code if e.rcvd else None

    async def close(self):
        await self.socket.close()

    def drop(self):
        """As when the network goes: no close frame."""
        self.socket.transport.abort()


class EventStream:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def begin(self, path, last):
        extra = f"Last-Event-ID: {last}\r\n" if last is not None else ""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{extra}\r\n".encode())
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), DEADLINE)
        self.status = int(head.split()[1])
        self.head = head.decode()

    async def block(self):
        """The lines of an event, or of a comment."""
        return (await asyncio.wait_for(self.reader.readuntil(b"\n\n"), DEADLINE)).decode().strip().split("\n")

    async def event(self):
        """The next event as a dictionary of its fields, with data decoded."""
        while True:
            fields = dict(line.split(": ", 1) for line in await self.block() if not line.startswith(":"))
            if "data" in fields:
                fields["data"] = json.loads(fields["data"])
                return fields

    async def texts(self, count):
        return [(await self.event())["data"]["text"] for _ in range(count)]

    async def nothing(self, seconds=0.2):
        try:
            event = await asyncio.wait_for(self.event(), seconds)
        except asyncio.TimeoutError:
            return
        raise Failure(f"got {event!r}")

    async def ended(self):
        return await asyncio.wait_for(self.reader.read(), DEADLINE) == b""

    def close(self):
        self.writer.close()


# ---- Running ----


async def with_server(function, options, program, www):
    server = Server(program, www, options)
    try:
        await asyncio.wait_for(function(server), 120)
    except BaseException:
        server.process.kill()
        server.process.communicate()
        raise
    if server.process.poll() is None:
        server.signal()
    status, err = await server.wait()
    equal((status, err), (0, ""), "the server's end")


async def run_all(tests, play, program, www):
    """Some at a time: they mostly wait."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def run(function, options):
        async with gate:
            try:
                await play(function, options, program, www)
            except (Exception, asyncio.CancelledError):
                print(f"FAIL  {function.__name__}", flush=True)
                traceback.print_exc(file=sys.stdout)
                return False
        print(f"ok    {function.__name__}", flush=True)
        return True

    return await asyncio.gather(*(run(*t) for t in tests))


def main(program, www, names, play=with_server):
    """play: runs a test, with what it needs."""
    tests = [t for t in TESTS if not names or t[0].__name__ in names]
    results = asyncio.run(run_all(tests, play, program, www))
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 0 if failed == 0 and results else 1
