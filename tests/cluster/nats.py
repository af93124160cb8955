"""A nats-server for a test, a link to it that can be cut, and raw access to its protocol."""

import asyncio
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

from harness import soon

HOST = "127.0.0.1"


class Nats:
    """The program that $NATS_SERVER names, on a port of its own, which it keeps when it is started again."""

    def __init__(self):
        self.dir = tempfile.mkdtemp()
        self.port = -1

    async def start(self):
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", os.environ["NATS_SERVER"], "--addr", HOST, "--port", str(self.port),
             "--ports_file_dir", self.dir, "--jetstream", "--store_dir", self.dir, "--log", f"{self.dir}/log"],
            stdin=subprocess.DEVNULL)
        self.port = await soon(self._listens_on, "nats-server listens")

    def _listens_on(self):
        try:
            with open(f"{self.dir}/nats-server_{self.process.pid}.ports", encoding="ascii") as f:
                match = re.search(r'"nats://[^"]*:(\d+)"', f.read())
        except FileNotFoundError:
            return None
        return match and int(match[1])

    @property
    def url(self):
        return f"nats://{HOST}:{self.port}"

    async def kill(self):
        self.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self.process.wait)

    async def end(self):
        await self.kill()
        shutil.rmtree(self.dir)

    async def publish(self, cluster, user, payload):
        """As any other program might: without the headers that push-servers give their messages."""
        token = base64.urlsafe_b64encode(user.encode()).decode().rstrip("=")
        reader, writer = await asyncio.open_connection(HOST, self.port)
        options = json.dumps({"verbose": False, "pedantic": False})
        writer.write(f"CONNECT {options}\r\nPUB push.v1.{cluster}.b{token} {len(payload)}\r\n".encode() + payload + b"\r\nPING\r\n")
        await reader.readuntil(b"PONG\r\n")
        writer.close()


class Link:
    """What a server reaches NATS by: it can be cut, as a network, and mended."""

    def __init__(self, port):
        self.target, self.open, self.writers = port, True, set()

    async def start(self):
        self.server = await asyncio.start_server(self._join, HOST, 0)
        self.url = f"nats://{HOST}:{self.server.sockets[0].getsockname()[1]}"

    def cut(self):
        self.open = False
        for writer in list(self.writers):
            writer.transport.abort()

    def mend(self):
        self.open = True

    async def _join(self, reader, writer):
        if not self.open:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
        self.writers |= {writer, far_writer}
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def _copy(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        writer.close()
        self.writers.discard(writer)
