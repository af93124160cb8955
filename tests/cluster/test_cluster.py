"""test_cluster.py PROGRAM WWW [NAME...]: push-servers that share their users over NATS. Each test has a nats-server of its own, and
servers, which must end with status 0 and say nothing on standard error."""

import asyncio
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))

# pylint: disable=wrong-import-position
from harness import Failure, Server, check, equal, main, soon, test
from nats import Link, Nats

CLUSTER = "test"


class Cluster:
    def __init__(self, nats, options, program, www):
        self.nats, self.options, self.program, self.www = nats, options, program, www
        self.nodes = []

    async def node(self, *options, url=None):
        """One more server. It is connected."""
        server = Server(self.program, self.www, ["--nats", url or self.nats.url, "--cluster", CLUSTER, *self.options, *options])
        self.nodes.append(server)
        await ready(server)
        return server

    async def two(self):
        return await self.node(), await self.node()

    async def joined(self):
        """What is pushed anywhere reaches all users' devices."""
        for node in self.nodes:
            await soon(lambda node=node: is_joined(node), "its users are joined")

    async def kill(self, node):
        """As when its machine goes."""
        self.nodes.remove(node)
        node.signal(signal.SIGKILL)
        node.process.communicate()

    async def end(self):
        for node in self.nodes:
            node.signal()
        for node in self.nodes:
            equal(await node.wait(), (0, ""), "a server's end")

    def abort(self):
        for node in self.nodes:
            node.process.kill()
            node.process.communicate()


async def cluster_of(node):
    return (await node.stats())["cluster"]


async def ready(node):
    async def is_ready():
        return (await cluster_of(node))["ready"]

    await soon(is_ready, "it is connected to NATS")


async def is_joined(node):
    stats = await node.stats()
    state = stats["cluster"]
    return state["ready"] and state["subscriptions"] == state["sessions"] >= stats["sessions"]


async def with_cluster(function, options, program, www):
    nats = Nats()
    await nats.start()
    cluster = Cluster(nats, options, program, www)
    try:
        await asyncio.wait_for(function(cluster), 120)
        await cluster.end()
    except BaseException:
        cluster.abort()
        raise
    finally:
        await nats.end()


def numbers(first, last):
    return [str(n) for n in range(first, last + 1)]


async def push_numbers(node, first, last):
    for text in numbers(first, last):
        await node.push("alice", text)


def texts(answer):
    return [m["text"] for m in answer["messages"]]


def cursor(message):
    return f"{message['boot']}-{message['id']}"


# ---- Who receives ---------------------------------------------------------------------------------------------


@test()
async def every_transport_on_every_server(cluster):
    nodes = await cluster.two()
    streams = []
    for node in nodes:
        streams.append(await node.ws("alice", f"socket at {node.port}"))
        streams.append(await node.events("alice", f"stream at {node.port}"))
        await node.poll("alice", f"poller at {node.port}", wait=0)
    stranger = await nodes[1].ws("bob", "phone")
    await cluster.joined()
    for i, node in enumerate(nodes):
        text = f"from {i} ä€😀 \0\n"
        report = await node.push("alice", text)
        equal((report["delivered"], report["published"], report["queued"]), (3, True, True))
        expected = None
        for stream in streams:
            frame = await (stream.message() if hasattr(stream, "message") else stream.event())
            message = frame.get("message") or frame["data"]
            expected = expected or message
            equal(message, expected, "one message everywhere")
        equal((expected["text"], expected["id"], expected["boot"]), (text, report["id"], (await node.stats())["boot"]))
        for other in nodes:
            answer = await other.poll("alice", f"poller at {other.port}", wait=20)
            equal(answer["messages"], [expected])
    await stranger.nothing()
    for stream in streams:
        await stream.close() if hasattr(stream, "message") else stream.close()


@test()
async def except_for_a_device_of_another_server(cluster):
    a, b = await cluster.two()
    phone, laptop, tablet = await a.ws("alice", "phone"), await b.ws("alice", "laptop"), await b.ws("alice", "tablet")
    await cluster.joined()
    await a.push("alice", "not for the laptop", **{"except": "laptop"})
    await b.push("alice", "not for the phone", **{"except": "phone"})
    for node in (a, b):  # a fence: what was pushed before on a server comes before this
        await node.push("alice", "for all")
    equal(sorted(await phone.texts(3)), ["for all", "for all", "not for the laptop"])
    equal(sorted(await laptop.texts(3)), ["for all", "for all", "not for the phone"])
    equal(sorted(await tablet.texts(4)), ["for all", "for all", "not for the laptop", "not for the phone"])


@test()
async def a_server_of_another_cluster(cluster):
    a = await cluster.node()
    other = await cluster.node("--cluster", "other")
    here, there = await a.ws("alice", "phone"), await other.ws("alice", "phone")
    await cluster.joined()
    await a.push("alice", "here")
    await other.push("alice", "there")
    equal((await here.texts(1), await there.texts(1)), (["here"], ["there"]))
    await here.nothing()
    await there.nothing()


@test("--grace", "0")
async def interest_follows_the_devices(cluster):
    a, b = await cluster.two()
    equal((await cluster_of(b))["sessions"], 0)
    first, second = await b.ws("alice", "phone"), await b.ws("alice", "laptop")
    await soon(lambda: is_joined(b), "joined")
    equal((await cluster_of(b))["sessions"], 1)
    await first.close()
    await a.push("alice", "for the laptop")
    equal(await second.texts(1), ["for the laptop"])
    await second.close()

    async def left():
        return (await cluster_of(b))["sessions"] == 0

    await soon(left, "it leaves after a while")
    await a.push("alice", "for nobody")
    equal((await b.stats())["clients"], 0)


# ---- Order, and acknowledgements ------------------------------------------------------------------------------


@test()
async def order_of_each_server(cluster):
    a, b = await cluster.two()
    devices = [await node.ws("alice", f"{i} at {node.port}") for node in (a, b) for i in range(2)]
    await cluster.joined()
    await asyncio.gather(push_numbers(a, 1000, 1099), push_numbers(b, 2000, 2099))
    received = [await device.texts(200) for device in devices]
    for texts_of_one in received:
        equal([t for t in texts_of_one if t < "2000"], numbers(1000, 1099))
        equal([t for t in texts_of_one if t >= "2000"], numbers(2000, 2099))
    equal(received[0], received[1], "devices of one server see one order")
    equal(received[2], received[3], "devices of one server see one order")


@test("--window", "4")
async def acknowledgements_of_equal_ids(cluster):
    """Two servers count alike: a message is named by its boot and its id together."""
    a, b = await cluster.two()
    device = await b.ws("alice", "phone", ack=1)
    await cluster.joined()
    frames = []
    for n, node in enumerate([a, b, b, a, b, a]):  # ids 1 1 2 2 3 3
        await node.push("alice", str(n))
        if n < 4:
            frames.append((await device.message())["message"])
    equal([m["id"] for m in frames], [1, 1, 2, 2])
    await device.nothing()  # the window is full
    await device.ack(frames[2]["id"], boot=frames[0]["boot"])  # that is the fourth
    equal(await device.texts(2), ["4", "5"])
    device.drop()
    await b.connected(0)
    device = await b.ws("alice", "phone", ack=1)
    equal((device.hello["queued"], device.hello["unacked"]), (2, 2))
    equal(await device.texts(2), ["4", "5"])
    await device.ack(3)  # of this server, as ever: the fifth
    device.drop()
    await b.connected(0)
    answer = await b.poll("alice", "phone", wait=0, ack=0)
    equal(texts(answer), ["5"])
    equal(answer["ack"], cursor(answer["messages"][0]))
    equal(texts(await b.poll("alice", "phone", wait=0, ack=answer["ack"])), [])


@test()
async def cursors_of_other_servers(cluster):
    a, b = await cluster.two()
    stream = await b.events("alice", "phone")
    await cluster.joined()
    for node, text in [(a, "1"), (b, "2"), (a, "3"), (b, "4"), (a, "5")]:
        await node.push("alice", text)
        event = await stream.event()
        equal((event["data"]["text"], event["id"]), (text, cursor(event["data"])))
        if text == "3":
            third = event["id"]
    stream.close()
    await b.connected(0)
    stream = await b.events("alice", "phone", last=third)
    equal(await stream.texts(2), ["4", "5"])
    stream.close()
    await b.connected(0)
    answer = await b.poll("alice", "phone", wait=0, ack=third)
    equal(texts(answer), ["4", "5"], "what is acknowledged already acknowledges nothing")
    first, second = answer["messages"]
    equal(texts(await b.poll("alice", "phone", wait=0, ack=cursor(first))), ["5"])
    equal(texts(await b.poll("alice", "phone", wait=0, ack=cursor(second))), [])


@test("--window", "8")
async def broken_connections_lose_nothing(cluster):
    a, b = await cluster.two()
    device = await b.ws("alice", "phone", ack=1)
    await cluster.joined()
    pushing = asyncio.gather(push_numbers(a, 1000, 1149), push_numbers(b, 2000, 2149))
    seen, received, breaks = set(), [], 0
    while len(received) < 300:
        message = (await device.message())["message"]
        if cursor(message) not in seen:
            seen.add(cursor(message))
            received.append(message["text"])
        if len(received) // 20 > breaks:  # before it acknowledges
            breaks += 1
            device.drop()
            await b.connected(0)
            device = await b.ws("alice", "phone", ack=1)
        else:
            await device.ack(message["id"], boot=message["boot"])
    await pushing
    equal([t for t in received if t < "2000"], numbers(1000, 1149))
    equal([t for t in received if t >= "2000"], numbers(2000, 2149))
    check(breaks >= 14, f"{breaks} breaks")


@test()
async def a_device_moves_and_comes_back(cluster):
    a, b = await cluster.two()
    device = await a.ws("alice", "phone", ack=1)
    await cluster.joined()
    await push_numbers(a, 1, 3)
    frames = [(await device.message())["message"] for _ in range(3)]
    await device.ack(frames[0]["id"])
    device.drop()
    await a.connected(0)
    device = await b.ws("alice", "phone", ack=1)
    equal((device.hello["resumed"], device.hello["queued"]), (False, 0), "a new mailbox")
    await cluster.joined()
    await push_numbers(a, 4, 5)
    equal(await device.texts(2), numbers(4, 5))
    device.drop()
    await b.connected(0)
    device = await a.ws("alice", "phone", ack=1)
    equal((device.hello["resumed"], device.hello["queued"]), (True, 4), "the old mailbox went on")
    equal(await device.texts(4), numbers(2, 5))


# ---- NATS, and the network, go --------------------------------------------------------------------------------


@test()
async def nats_is_killed_and_comes_back(cluster):
    a, b = await cluster.two()
    here, there = await a.ws("alice", "phone"), await b.ws("alice", "laptop")
    await cluster.joined()
    await cluster.nats.kill()

    async def cut_off():
        return not (await cluster_of(a))["connected"]

    await soon(cut_off, "it notices")
    report = await a.push("alice", "meanwhile")
    equal((report["delivered"], report["published"], report["queued"]), (1, False, True))
    equal(await here.texts(1), ["meanwhile"], "here all goes on")
    equal((await cluster_of(a))["queued"], 1)
    await there.nothing()

    await cluster.nats.start()
    await cluster.joined()
    report = await a.push("alice", "again")
    equal((report["delivered"], report["published"], report["queued"]), (1, True, True))
    equal(await here.texts(1), ["again"])
    while (await there.texts(1)) != ["again"]:
        pass  # what waited may have left before the other server was back
    state = await cluster_of(a)
    equal((state["reconnects"], state["unpublished"]), (1, 0))


@test()
async def the_end_without_nats(cluster):
    a = await cluster.node()
    await cluster.nats.kill()
    ws = await a.ws("alice", "phone")
    await a.push("alice", "waits for good")
    equal(await ws.texts(1), ["waits for good"])
    a.signal()
    equal(await ws.closed(), 1001)
    equal(await a.wait(), (0, ""))
    cluster.nodes.remove(a)


@test()
async def nats_comes_later(cluster):
    await cluster.nats.kill()
    a = Server(cluster.program, cluster.www, ["--nats", f"{cluster.nats.url},nats://127.0.0.1:1", "--nats", "nats://127.0.0.1:2",
                                              "--cluster", CLUSTER])
    cluster.nodes.append(a)
    ws = await a.ws("alice", "phone")
    equal((await a.push("alice", "alone"))["published"], False)
    equal(await ws.texts(1), ["alone"])
    await cluster.nats.start()
    b = await cluster.node()
    await cluster.joined()
    await b.push("alice", "together")
    equal(await ws.texts(1), ["together"])


async def cut_while(cluster, first, last):
    """A device of server B, which is cut off while so many are pushed on A; then one more is pushed. Returns the device."""
    link = Link(cluster.nats.port)
    await link.start()
    a, b = await cluster.node(), await cluster.node(url=link.url)
    device = await b.ws("alice", "phone")
    await a.poll("alice", "watch", wait=0)
    await cluster.joined()
    await push_numbers(a, 1, first - 1)
    equal(await device.texts(first - 1), numbers(1, first - 1))
    link.cut()

    async def cut_off():
        return not (await cluster_of(b))["connected"]

    await soon(cut_off, "it notices")
    await push_numbers(a, first, last)

    async def published():
        return (await cluster_of(a))["published"] == last

    await soon(published, "NATS has it all")
    link.mend()
    await cluster.joined()
    await push_numbers(a, last + 1, last + 1)
    return b, device


@test()
async def a_server_that_is_cut_off_tells_what_was_lost(cluster):
    b, device = await cut_while(cluster, 3, 6)
    frame = await device.message()
    equal((frame["lost"], frame["message"]["text"]), (4, "7"))
    await device.close()
    await b.connected(0)
    equal((await cluster_of(b))["lost"], 4)


@test("--jetstream")
async def a_server_that_is_cut_off_catches_up(cluster):
    b, device = await cut_while(cluster, 3, 6)
    frames = [await device.message() for _ in range(5)]
    equal([f["message"]["text"] for f in frames], numbers(3, 7))
    equal([f["lost"] for f in frames], 5 * [0])
    equal((await cluster_of(b))["lost"], 0)


# ---- A server goes --------------------------------------------------------------------------------------------


async def restart_b(cluster, a, b, *options):
    """Five pushed while B is dead, which was killed. Returns B, and its device, which has come back."""
    await cluster.kill(b)
    await push_numbers(a, 6, 10)
    b = await cluster.node(*options)
    device = await b.ws("alice", "laptop", ack=1)
    equal(device.hello["resumed"], False)
    return b, device


async def deliver_five(cluster, *options):
    a, b = await cluster.node(), await cluster.node(*options)
    device = await b.ws("alice", "laptop", ack=1)
    await a.poll("alice", "watch", wait=0)
    await cluster.joined()
    await push_numbers(a, 1, 5)
    equal(await device.texts(5), numbers(1, 5))
    return a, b, device


@test()
async def a_server_killed_and_started_again(cluster):
    a, b, _ = await deliver_five(cluster)
    b, device = await restart_b(cluster, a, b)
    await cluster.joined()
    await a.push("alice", "11")
    equal((await device.message())["message"]["text"], "11", "what came meanwhile is gone, and what comes now arrives")


@test("--jetstream")
async def a_server_killed_and_started_again_catches_up(cluster):
    position = os.path.join(cluster.nats.dir, "position")
    a, b, _ = await deliver_five(cluster, f"--jetstream={position}")

    def written():
        try:
            with open(position, encoding="ascii") as f:
                return f.read() == "5\n"
        except FileNotFoundError:
            return False

    await soon(written, "its position is kept")
    b, device = await restart_b(cluster, a, b, f"--jetstream={position}")
    frames = [await device.message() for _ in range(5)]
    equal([f["message"]["text"] for f in frames], numbers(6, 10))
    equal([f["lost"] for f in frames], 5 * [0])
    equal((await cluster_of(b))["caught_up"], 5)
    await a.push("alice", "11")
    equal(await device.texts(1), ["11"])


# ---- What else may come from NATS -----------------------------------------------------------------------------


@test("--max-message", "1000")
async def what_is_no_message(cluster):
    a, b = await cluster.two()
    ws, stream = await b.ws("alice", "phone", ack=1), await b.events("alice", "stream")
    await cluster.joined()
    good = b'{"id":1,"boot":"0123456789abcdef","time":1,"text":"%s"}'
    strange = [b"", b"hello", b"{", b"\0", b"\xff", b'{"id":1,"boot":"0123456789abcdef"', good % b"\xff",
               good % b"x" + b"\n\nevent: bye\ndata: {}\n\n", good % (100_000 * b"x"), b'{"text":"x"}', b"[]",
               b'{"id":"1","boot":"0123456789abcdef","time":1,"text":"x"}',
               b'{"id":1,"boot":"123","time":1,"text":"x"}', b'{"id":1,"boot":"0123456789abcdef","time":1,"text":7}',
               good[:-1] % b"x" + b',"more":1}']
    for payload in strange:
        await cluster.nats.publish(CLUSTER, "alice", payload)
    await cluster.nats.publish(CLUSTER, "alice", good % b"from elsewhere")
    frame = await ws.message()
    equal((frame["lost"], frame["message"]["text"]), (len(strange), "from elsewhere"))
    event = await stream.event()
    equal((event["event"], event["data"]), ("lost", {"lost": len(strange)}))
    equal((await stream.event())["data"]["text"], "from elsewhere")
    await ws.ack(frame["message"]["id"], boot=frame["message"]["boot"])
    await a.push("alice", "after")
    equal((await ws.message())["lost"], 0)


@test()
async def statistics(cluster):
    a, b = await cluster.two()
    await b.poll("alice", "phone", wait=0)
    await cluster.joined()
    await push_numbers(a, 1, 3)
    await b.poll("alice", "phone", wait=20, max=1)

    async def counted():
        mine, theirs = await cluster_of(a), await cluster_of(b)
        return (mine["published"], theirs["received"]) == (3, 3)

    await soon(counted, "counted")
    state = await cluster_of(b)
    equal({k: state[k] for k in ("name", "level", "connected", "ready", "reconnects", "published", "unpublished", "queued",
                                 "caught_up", "lost", "dropped", "sessions", "subscriptions")},
          {"name": CLUSTER, "level": "core", "connected": True, "ready": True, "reconnects": 0, "published": 0,
           "unpublished": 0, "queued": 0, "caught_up": 0, "lost": 0, "dropped": 0, "sessions": 1, "subscriptions": 1})


@test()
async def the_command_line(cluster):
    for options in [["--nats", ""], ["--nats", cluster.nats.url, "--cluster", "a b"], ["--nats", cluster.nats.url, "--cluster", ""],
                    ["--cluster", "x"], ["--jetstream"]]:
        try:
            Server(cluster.program, cluster.www, options).process.kill()
        except Failure as e:
            check("--nats" in str(e), str(e))
        else:
            raise Failure(f"took {options}")


sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:], with_cluster))
