"""test_server.py PROGRAM WWW [NAME...]: what push-server promises, test by test. Each has a server of its own, which must end with
status 0 and say nothing on standard error: under the sanitizers that shows leaks and the like."""

import asyncio
import json
import random
import signal
import socket
import struct
import subprocess
import sys
import urllib.parse

import websockets
from harness import DEADLINE, TESTS, Failure, Server, check, equal, main, soon, test

PROGRAM, WWW = sys.argv[1:3]
GOOD = {"user": "alice", "device": "phone"}
UPGRADE = (b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


def numbers(first, last):
    return [str(n) for n in range(first, last + 1)]


def cpu(server):
    """The processor's time that it took, in ticks of 10 ms."""
    with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as f:
        return sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:13])


async def push_numbers(server, user, first, last):
    for text in numbers(first, last):
        await server.push(user, text)


# ---- Pages and requests ---------------------------------------------------------------------------------------


@test()
async def pages(server):
    for path, kind in [("/", "text/html; charset=utf-8"), ("/?user=alice&device=phone", "text/html; charset=utf-8"),
                       ("/admin", "text/html; charset=utf-8"), ("/app.js", "text/javascript; charset=utf-8"),
                       ("/app.css", "text/css; charset=utf-8"), ("/icon.svg", "image/svg+xml")]:
        answer = await server.get(path)
        equal(answer.status, 200, path)
        equal(answer.headers["content-type"], kind, path)
        check(len(answer.body) > 0, path)
        policy = answer.headers["content-security-policy"]
        check("default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy, policy)
        equal(answer.headers["x-content-type-options"], "nosniff")
    head = await server.request("HEAD", "/")
    equal((head.status, head.body), (200, b""))


@test()
async def what_is_no_page(server):
    for path in ["/nothing.html", "/index", "/server.c", "/../main.c", "/..%2fmain.c", "/%2e%2e/main.c", "/www", "/.git",
                 "/index.html/", "/a/b.html", "/" + 200 * "x" + ".html", "/PUSH", "/push/"]:
        answer = await server.get(path)
        equal(answer.status, 404, path)
        check("error" in answer.json, path)


@test()
async def methods(server):
    for path, allowed in [("/", "GET, HEAD"), ("/app.js", "GET, HEAD"), ("/push", "POST"), ("/clients", "DELETE"),
                          ("/stats", "GET"), ("/events", "GET"), ("/poll", "GET"), ("/ws", "GET")]:
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]:
            if method in allowed:
                continue
            answer = await server.request(method, path, body=b"" if method == "POST" else None, **GOOD)
            equal((answer.status, answer.headers["allow"]), (405, allowed), f"{method} {path}")
    equal((await server.request("HEAD", "/stats")).status, 405)
    equal(await server.raw(b"CONNECT localhost:1 HTTP/1.1\r\nHost: x\r\n\r\n"), b"", "CONNECT")
    check((await server.raw(b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.0 403"), "an unknown method")
    equal((await server.get("/ws", **GOOD)).status, 426)


@test()
async def names(server):
    for path in ["/poll", "/events"]:
        for args in [{}, {"user": "a"}, {"device": "a"}, {"user": "", "device": "a"}, {"user": "a", "device": ""},
                     {"user": 65 * "a", "device": "b"}, {"user": "a", "device": 33 * "ä"}, {"user": "a\n", "device": "b"},
                     {"user": "a", "device": "\x7f"}, {"user": "\x85", "device": "b"}]:
            answer = await server.get(path, **args)
            equal(answer.status, 400, f"{path} {args}")
            check("error" in answer.json, "no reason")
        for query in ["user=%ff&device=a", "user=a%c3&device=b", "user=%c3%28&device=b", "user=%ed%a0%80&device=b",
                      "user=%c0%af&device=a", "userx=a&device=b"]:
            equal((await server.get(f"{path}?{query}")).status, 400, query)
    for user, device in [("a", "b"), (64 * "a", 64 * "b"), (32 * "ä", "日本語"), ("a b&c=d/../?", "+%"), ("0", "-")]:
        await server.push(user, "before")
        ws = await server.ws(user, device)
        equal((ws.hello["user"], ws.hello["device"]), (user, device))
        equal((await server.push(user, "text"))["delivered"], 1)
        equal(await ws.texts(1), ["text"])
        equal((await server.push(user, "text", **{"except": device}))["delivered"], 0)
        await ws.close()
    equal((await server.request("POST", "/push", b"x", user="a", **{"except": 65 * "x"})).status, 400)
    equal((await server.request("POST", "/push", b"x")).status, 400)
    equal((await server.request("DELETE", "/clients")).status, 400)


@test()
async def numbers_in_urls(server):
    for args in [{"wait": 61}, {"wait": -1}, {"wait": "x"}, {"wait": ""}, {"wait": "1 "}, {"max": 65}, {"max": "1e1"},
                 {"wait": 10 ** 30}, {"ack": "x"}, {"ack": ""}, {"ack": "-1"}, {"ack": "f-"}, {"ack": 60 * "1"}]:
        equal((await server.get("/poll", **GOOD, **args)).status, 400, str(args))
    for args in [{"ack": "2"}, {"ack": "yes"}]:
        try:
            await server.ws(**GOOD, **args)
            raise Failure(f"took {args}")
        except websockets.InvalidStatusCode as e:
            equal(e.status_code, 400)


@test()
async def pages_of_other_sites(server):
    own = f"http://127.0.0.1:{server.port}"
    for origin, status in [("http://evil.example", 403), ("null", 403), (own + ".evil.example", 403), (own, 200),
                           ("http://127.0.0.1", 403), (300 * "x", 403)]:
        headers = {"Origin": origin}
        for method, path, body in [("POST", "/push", b"x"), ("GET", "/stats", None), ("DELETE", "/clients", None),
                                   ("GET", "/poll", None)]:
            answer = await server.request(method, path, body, headers, **GOOD, wait=0)
            equal(answer.status, status, f"{method} {path} from {origin}")
    try:
        await server.ws(**GOOD, origin="http://evil.example")
        raise Failure("took a foreign page's WebSocket")
    except websockets.InvalidStatusCode as e:
        equal(e.status_code, 403)
    await (await server.ws(**GOOD, origin=own)).close()


@test()
async def refused_websockets(server):
    for path, status in [("/ws", 400), ("/ws?user=a", 400), ("/ws?user=a&device=%ff", 400), ("/", 404), ("/events", 404)]:
        try:
            await websockets.connect(server.url(path, "ws"))
            raise Failure(f"took {path}")
        except websockets.InvalidStatusCode as e:
            equal(e.status_code, status, path)
    answer = await server.raw(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    check(answer.startswith(b"HTTP/1.1 400 ") or answer == b"", f"h2c: {answer!r}")
    try:
        await server.ws(**GOOD, subprotocols=["chat"])
        raise Failure("took another subprotocol")
    except websockets.InvalidHandshake:
        pass


# ---- Pushing --------------------------------------------------------------------------------------------------


@test("--max-message", "1000")
async def bodies(server):
    ws = await server.ws(**GOOD)
    for text in ["", "x", 1000 * "x", "\0\1\n\r\t\"\\\x7f", "ä€😀", "</script>", 1000 * "\1"]:
        equal((await server.push("alice", text))["delivered"], 1)
        equal(await ws.texts(1), [text])
    for size in [1001, 5000, 1_000_000, 30_000_000]:
        equal((await server.request("POST", "/push", size * b"x", user="alice")).status, 413, str(size))
    for text in [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"]:
        equal((await server.request("POST", "/push", text, user="alice")).status, 400, str(text))
    await ws.nothing()


@test()
async def bodies_that_cannot_be(server):
    for head, body, status in [(b"POST /push?user=a", b"", 411), (b"POST /push?user=a", b"Transfer-Encoding: chunked\r\n", 411),
                               (b"POST /push?user=a", b"Content-Length: -1\r\n", 400),
                               (b"POST /push?user=a", b"Content-Length: 1x\r\n", 400),
                               (b"POST /push?user=a", b"Content-Length: 99999999999999999999\r\n", 400),
                               (b"GET /stats", b"Content-Length: 5\r\n", 400), (b"GET /poll?user=a&device=b", b"Content-Length: 1\r\n", 400),
                               (b"GET /events?user=a&device=b", b"Transfer-Encoding: chunked\r\n", 411)]:
        answer = await server.raw(head + b" HTTP/1.1\r\nHost: x\r\n" + body + b"\r\n")
        equal(answer.split()[1:2], [str(status).encode()], f"{head} {body}")
    # A body that does not come, and one that comes in pieces.
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /push?user=alice HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    ws = await server.ws(**GOOD)
    writer.write(b"cde")
    check(b'"delivered":1' in await asyncio.wait_for(reader.readuntil(b"}\n"), DEADLINE), "in pieces")
    equal(await ws.texts(1), ["abcde"])
    writer.write(b"POST /push?user=alice HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    writer.close()
    await ws.nothing()


@test("--token", "s3cret")
async def token(server):
    for method, path, body in [("POST", "/push", b"x"), ("DELETE", "/clients", None)]:
        for given, status in [(None, 401), ("Bearer wrong!", 401), ("Bearer s3cre", 401), ("Bearer s3crets", 401),
                              ("Basic s3cret", 401), ("s3cret", 401), ("Bearer s3cret", 200), ("bearer s3cret", 200)]:
            answer = await server.request(method, path, body, {"Authorization": given} if given else {}, user="alice")
            equal(answer.status, status, f"{path} with {given}")
            if status == 401:
                equal(answer.headers["www-authenticate"], "Bearer")
    ws = await server.ws(**GOOD)
    equal((await server.stats())["pushed"], 2)
    await ws.nothing()


@test()
async def who_receives(server):
    phone, laptop = await server.ws("alice", "phone"), await server.ws("alice", "laptop", subprotocols=["push"])
    bob = await server.ws("bob", "phone")
    equal(laptop.socket.subprotocol, "push")
    report = await server.push("alice", "for both")
    equal({k: report[k] for k in ("delivered", "dropped", "disconnected")}, {"delivered": 2, "dropped": 0, "disconnected": 0})
    first, second = await phone.message(), await laptop.message()
    equal(first, second)
    equal((first["lost"], first["message"]["id"], first["message"]["boot"]), (0, report["id"], phone.hello["boot"]))
    equal((await server.push("alice", "for the laptop", **{"except": "phone"}))["delivered"], 1)
    equal(await laptop.texts(1), ["for the laptop"])
    equal((await server.push("nobody", "x"))["delivered"], 0)
    ids = [(await server.push("alice", text))["id"] for text in numbers(1, 5)]
    equal(ids, list(range(ids[0], ids[0] + 5)))
    equal(await phone.texts(5), numbers(1, 5))
    await bob.nothing()


# ---- WebSocket ------------------------------------------------------------------------------------------------


@test("--window", "4")
async def acknowledgements(server):
    ws = await server.ws(**GOOD, ack=1)
    equal((ws.hello["resumed"], ws.hello["queued"], ws.hello["unacked"]), (False, 0, 0))
    await push_numbers(server, "alice", 1, 10)
    frames = [await ws.message() for _ in range(4)]
    await ws.nothing()  # the window is full
    await ws.ack(10 ** 6)
    await ws.nothing()  # that was not sent
    await ws.ack(frames[1]["message"]["id"])
    equal(await ws.texts(2), ["5", "6"])
    ws.drop()
    await server.connected(0)
    ws = await server.ws(**GOOD, ack=1)
    equal((ws.hello["resumed"], ws.hello["queued"], ws.hello["unacked"]), (True, 8, 4))
    frames = [await ws.message() for _ in range(4)]
    equal([f["message"]["text"] for f in frames], numbers(3, 6))
    await ws.ack(frames[3]["message"]["id"])
    equal(await ws.texts(4), numbers(7, 10))
    await ws.close()
    await server.connected(0)
    ws = await server.ws(**GOOD)  # without ack: what the kernel took is taken as received
    equal((ws.hello["queued"], ws.hello["unacked"]), (0, 0))
    await ws.nothing()


@test()
async def frames_that_cannot_be(server):
    for frame, code in [('{"ack":1,"boot":"x"}', 1008), ('{"ack":1,"boot":7}', 1008), ("x", 1008), ("{}", 1008), ('{"ack":"1"}', 1008), ('{"ack":-1}', 1008), ('{"ack":1,"ack":2}', 1008),
                        ('{"ack":1,"x":1}', 1008), ("[1]", 1008), ("", 1008), ("[" * 250, 1008), (257 * " ", 1009),
                        (b"binary", 1003), (["{", '"ack":1', "}"], None), (3 * [100 * " "], 1009)]:
        ws = await server.ws(**GOOD, ack=1)
        await ws.socket.send(frame)
        if code is None:
            await ws.nothing()
            await ws.close()
        else:
            equal(await ws.closed(), code, repr(frame))
    ws = await server.ws(**GOOD)
    await ws.ack(1)
    equal(await ws.closed(), 1008, "an acknowledgement where none was agreed on")
    for payload in [b"\xff", b"a\xc3", b"\xed\xa0\x80"]:
        ws = await server.ws(**GOOD, ack=1)
        await ws.socket.write_frame(True, 1, payload)
        equal(await ws.closed(), 1007, repr(payload))


@test()
async def order(server):
    sockets = [await server.ws("alice", str(i)) for i in range(5)]
    await asyncio.gather(*(push_numbers(server, "alice", 100 * i, 100 * i + 49) for i in range(4)))
    received = [await ws.texts(200) for ws in sockets]
    for other in received[1:]:
        equal(other, received[0], "all devices see one order")
    for i in range(4):
        equal([t for t in received[0] if int(t) // 100 == i], numbers(100 * i, 100 * i + 49), "of one pusher")


@test("--ping", "1")
async def pings(server):
    ws = await server.ws(**GOOD)
    events = await server.events("alice", "stream")
    deaf = await asyncio.open_connection("127.0.0.1", server.port)
    deaf[1].write(b"GET /ws?user=alice&device=deaf HTTP/1.1\r\nHost: x\r\n" + UPGRADE)
    await soon(lambda: deaf[0].at_eof() or deaf[0].readuntil(b"hello"), "its greeting")
    await asyncio.wait_for(deaf[0].read(), DEADLINE)  # it answers no ping, and is hung up on
    while ": ping" not in await events.block():
        pass
    await server.connected(2)
    await server.push("alice", "still here")
    equal(await ws.texts(1), ["still here"])
    equal(await events.texts(1), ["still here"])
    events.close()


# ---- Server-Sent Events ---------------------------------------------------------------------------------------


@test("--window", "4")
async def events(server):
    stream = await server.events(**GOOD)
    equal(stream.status, 200)
    check("content-type: text/event-stream" in stream.head, stream.head)
    await push_numbers(server, "alice", 1, 10)
    seen = [await stream.event() for _ in range(10)]
    equal([e["data"]["text"] for e in seen], numbers(1, 10))
    stream.close()
    await server.connected(0)
    await server.push("alice", "11")
    stream = await server.events(**GOOD, last=seen[7]["id"])  # it missed the last two
    equal(await stream.texts(3), ["9", "10", "11"])
    stream.close()
    await server.connected(0)
    stream = await server.events(**GOOD, last=seen[0]["id"])  # what is acknowledged does not come again
    equal(await stream.texts(3), ["9", "10", "11"])
    await server.push("alice", "12")
    await server.push("alice", "13")
    equal(await stream.texts(2), ["12", "13"])
    stream.close()
    await server.connected(0)
    stream = await server.events(**GOOD, last=seen[0]["id"])  # the window goes back four, no farther
    equal(await stream.texts(4), ["10", "11", "12", "13"])
    stream.close()
    await server.connected(0)
    stream = await server.events(**GOOD)  # it names none: what the kernel took is taken as received
    await stream.nothing()
    stream.close()
    await server.connected(0)
    for last in ["0123456789abcdef-100000", "x", 100 * "9"]:  # of another run, or none at all
        await server.push("alice", "new")
        stream = await server.events(**GOOD, last=last)
        equal(await stream.texts(1), ["new"])
        stream.close()
        await server.connected(0)


# ---- Long poll ------------------------------------------------------------------------------------------------


def texts(answer):
    return [m["text"] for m in answer["messages"]]


@test("--window", "4")
async def polls(server):
    equal(texts(await server.poll(**GOOD, wait=0)), [])
    before = asyncio.get_running_loop().time()
    equal(texts(await server.poll(**GOOD, wait=1)), [])
    check(asyncio.get_running_loop().time() - before > 0.9, "did not wait")
    waiting = asyncio.create_task(server.poll(**GOOD, wait=30))
    await server.connected(1)
    await server.push("alice", "1")
    answer = await asyncio.wait_for(waiting, DEADLINE)
    equal((texts(answer), answer["lost"]), (["1"], 0))
    equal(texts(await server.poll(**GOOD, wait=0)), [], "without acknowledgements it comes once")
    await push_numbers(server, "alice", 2, 7)
    equal(texts(await server.poll(**GOOD, wait=0, max=1)), ["2"])
    answer = await server.poll(**GOOD, wait=0, ack=0)
    equal(texts(answer), ["3", "4", "5", "6"], "a window full")
    equal(texts(await server.poll(**GOOD, wait=0, ack=answer["messages"][1]["id"])), ["5", "6", "7"])
    equal(texts(await server.poll(**GOOD, wait=0, ack=0)), ["5", "6", "7"], "not acknowledged")
    equal(texts(await server.poll(**GOOD, wait=0, ack="0123456789abcdef-999999")), ["5", "6", "7"], "of another run")
    answer = await server.poll(**GOOD, wait=0, ack=0)
    equal(texts(await server.poll(**GOOD, wait=0, ack=answer["ack"])), [])
    equal((await server.stats())["queued"], 0)


@test()
async def a_poll_that_is_broken_off(server):
    for i in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /poll?user=alice&device=phone&wait=30 HTTP/1.1\r\nHost: x\r\n\r\n")
        await server.connected(1)
        writer.close()
        await server.connected(0)
    await push_numbers(server, "alice", 1, 20)
    equal(texts(await server.poll(**GOOD, wait=0)), numbers(1, 20))


@test()
async def one_request_after_another(server):
    """On one connection: a request while another is not answered is no use, but does no harm."""
    poll = b"GET /poll?user=alice&device=phone&wait=%d HTTP/1.1\r\nHost: x\r\n\r\n"
    stats = b"GET /stats HTTP/1.1\r\nHost: x\r\n\r\n"
    upgrade = b"GET /ws?user=alice&device=phone HTTP/1.1\r\nHost: x\r\n" + UPGRADE
    push = b"POST /push?user=bob HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe"
    for first, second in [(poll % 30, stats), (poll % 30, poll % 0), (poll % 30, upgrade), (push, stats),
                          (b"GET /events?user=alice&device=phone HTTP/1.1\r\nHost: x\r\n\r\n", upgrade)]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(first)
        if first is not push:
            await server.connected(1)
        writer.write(second)
        if first is not push:  # of which the second request is the rest
            await asyncio.wait_for(reader.read(), DEADLINE)
        writer.close()
        await server.connected(0)
    await server.push("alice", "still there")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(poll % 1)
    check(b"still there" in await asyncio.wait_for(reader.readuntil(b"]}\n"), DEADLINE), "a poll")
    writer.write(upgrade)  # after an answer all is well; the poll's second must not matter any more
    await asyncio.wait_for(reader.readuntil(b'"hello"'), DEADLINE)
    await asyncio.sleep(1.2)
    await server.push("alice", "on the WebSocket")
    await asyncio.wait_for(reader.readuntil(b"on the WebSocket"), DEADLINE)


# ---- Devices that come and go ---------------------------------------------------------------------------------


@test()
async def taken_over(server):
    ws = await server.ws(**GOOD, ack=1)
    await server.push("alice", "1")
    equal(await ws.texts(1), ["1"])
    second = await server.ws(**GOOD, ack=1)
    equal(await ws.closed(), 4000)
    equal(await second.texts(1), ["1"], "what was not acknowledged")
    stream = await server.events(**GOOD, last=f"{second.hello['boot']}-0")
    equal(await second.closed(), 4000)
    equal(await stream.texts(1), ["1"])
    waiting = asyncio.create_task(server.get("/poll", **GOOD, wait=30, ack=1))
    equal(await stream.event(), {"event": "bye", "data": {"reason": "taken over by a newer connection of this device"}})
    check(await stream.ended(), "the stream goes on")
    await server.connected(1)
    third = await server.ws(**GOOD)
    answer = await asyncio.wait_for(waiting, DEADLINE)
    equal(answer.status, 409)
    equal((await server.stats())["clients"], 1)
    await server.push("alice", "2")
    equal(await third.texts(1), ["2"])


@test("--grace", "0")
async def taken_over_without_grace(server):
    ws = await server.ws(**GOOD, ack=1)
    await server.push("alice", "1")
    equal(await ws.texts(1), ["1"])
    second = await server.ws(**GOOD, ack=1)
    equal(await ws.closed(), 4000)
    equal(await second.texts(1), ["1"])
    second.drop()
    await soon(lambda: gone(server), "its mailbox goes")


async def gone(server):
    return (await server.stats())["clients"] == 0


@test("--grace", "2")
async def grace(server):
    ws = await server.ws(**GOOD)
    await server.push("alice", "1")
    equal(await ws.texts(1), ["1"])
    ws.drop()
    await server.connected(0)
    equal((await server.push("alice", "2"))["delivered"], 1)
    ws = await server.ws(**GOOD)
    equal((ws.hello["resumed"], ws.hello["queued"]), (True, 1))
    equal(await ws.texts(1), ["2"])
    await ws.close()
    await server.connected(0)
    await server.push("alice", "3")
    equal((await server.stats())["queued"], 1)
    await soon(lambda: gone(server), "the grace time ends")
    stats = await server.stats()
    equal((stats["sessions"], stats["queued"]), (0, 0))
    equal((await server.push("alice", "4"))["delivered"], 0)
    ws = await server.ws(**GOOD)
    equal((ws.hello["resumed"], ws.hello["queued"]), (False, 0))
    await ws.nothing()


@test("--max-devices", "2", "--max-users", "2")
async def limits(server):
    await server.ws("alice", "1")
    await server.ws("alice", "2")
    await server.ws("bob", "1")
    for user, device, status in [("alice", "3", 429), ("carol", "1", 503)]:
        for path in ["/poll", "/events"]:
            answer = await server.get(path, user=user, device=device)
            equal((answer.status, answer.headers["retry-after"]), (status, "1"), path)
        try:
            await server.ws(user, device)
            raise Failure("took it")
        except websockets.InvalidStatusCode as e:
            equal(e.status_code, status)
    await server.ws("alice", "2")  # one that is there may come again
    await server.request("DELETE", "/clients", user="bob")
    await server.ws("carol", "1")
    equal((await server.stats())["sessions"], 2)


@test("--max-connections", "10")
async def connections(server):
    held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(100)]
    hung_up = [asyncio.create_task(reader.read()) for reader, _ in held]
    await soon(lambda: sum(t.done() for t in hung_up) >= 90, "too many are hung up on")
    equal(sum(t.done() for t in hung_up), 90)
    before = cpu(server)
    await asyncio.sleep(0.5)
    check(cpu(server) - before <= 5, "it is busy with them")
    for _, writer in held:
        writer.close()
    await asyncio.gather(*hung_up, return_exceptions=True)

    async def served():
        try:
            return (await server.get("/stats")).status == 200
        except OSError:
            return False

    await soon(served, "room again")


@test()
async def deleting(server):
    ws = [await server.ws("alice", str(i)) for i in range(3)]
    bob = await server.ws("bob", "0")
    equal((await server.request("DELETE", "/clients", user="alice", device="1")).json, {"deleted": 1})
    equal(await ws[1].closed(), 4002)
    equal((await server.request("DELETE", "/clients", user="alice", device="1")).json, {"deleted": 0})
    stream = await server.events("alice", "3")
    waiting = asyncio.create_task(server.get("/poll", user="alice", device="4", wait=30))
    await server.connected(5)
    ws[2].drop()
    await server.connected(4)
    equal((await server.request("DELETE", "/clients", user="alice")).json, {"deleted": 4})
    equal(await ws[0].closed(), 4002)
    equal((await stream.event())["event"], "bye")
    equal((await asyncio.wait_for(waiting, DEADLINE)).status, 410)
    await server.connected(1)
    stats = await server.stats()
    equal((stats["clients"], stats["sessions"]), (1, 1))
    await server.push("bob", "still here")
    equal(await bob.texts(1), ["still here"])


# ---- Full mailboxes -------------------------------------------------------------------------------------------


async def away(server, user="alice", device="phone"):
    before = (await server.stats())["connected"]
    await (await server.ws(user, device)).close()
    await server.connected(before)


@test("--max-buffer", "4", "--overflow", "drop-oldest")
async def drop_oldest(server):
    await away(server)
    reports = [await server.push("alice", text) for text in numbers(1, 10)]
    equal(sum(r["dropped"] for r in reports), 6)
    ws = await server.ws(**GOOD, ack=1)
    frames = [await ws.message() for _ in range(4)]
    equal([(f["lost"], f["message"]["text"]) for f in frames], [(6, "7"), (0, "8"), (0, "9"), (0, "10")])
    ws.drop()
    await server.connected(0)
    ws = await server.ws(**GOOD, ack=1)  # nobody knows whether it was told: it is told again, at the same place
    frames = [await ws.message() for _ in range(4)]
    equal([(f["lost"], f["message"]["text"]) for f in frames], [(6, "7"), (0, "8"), (0, "9"), (0, "10")])
    await ws.ack(frames[0]["message"]["id"])
    await ws.close()
    await server.connected(0)
    await push_numbers(server, "alice", 11, 12)  # one fits, one costs "8", which was sent but not acknowledged
    stream = await server.events(**GOOD, last=f"{ws.hello['boot']}-0")
    equal((await stream.event()), {"event": "lost", "data": {"lost": 1}})
    equal(await stream.texts(4), numbers(9, 12))
    stats = await server.stats()
    equal((stats["dropped"], stats["delivered"]), (7, 12))
    equal(stats["slowest"][0]["dropped"], 7)


@test("--max-buffer", "4", "--overflow", "drop-newest")
async def drop_newest(server):
    await away(server)
    reports = [await server.push("alice", text) for text in numbers(1, 10)]
    equal([r["dropped"] for r in reports], 4 * [0] + 6 * [1])
    ws = await server.ws(**GOOD)
    equal(await ws.texts(4), numbers(1, 4))
    await server.push("alice", "11")
    frame = await ws.message()
    equal((frame["lost"], frame["message"]["text"]), (6, "11"))


@test("--max-buffer", "4", "--overflow", "disconnect")
async def disconnect(server):
    await away(server)
    reports = [await server.push("alice", text) for text in numbers(1, 6)]
    equal([(r["delivered"], r["disconnected"]) for r in reports], 4 * [(1, 0)] + [(0, 1), (0, 0)])
    await soon(lambda: gone(server), "its mailbox goes at once")
    ws = await server.ws(**GOOD, ack=1)
    equal(ws.hello["resumed"], False)


@test("--max-buffer", "4", "--overflow", "disconnect", "--window", "1")
async def too_slow(server):
    ws = await server.ws(**GOOD, ack=1)  # it does not acknowledge, so at most one is sent
    await push_numbers(server, "alice", 1, 6)
    equal(await ws.closed(), 4001)
    await soon(lambda: gone(server), "its mailbox goes")


@test("--max-bytes", "1000", "--max-buffer", "1000")
async def max_bytes(server):
    await away(server)
    for i in range(20):
        await server.push("alice", 200 * str(i % 10))
    check((await server.stats())["queued_bytes"] <= 1000, "more bytes than it may have")
    ws = await server.ws(**GOOD)
    frame = await ws.message()
    check(frame["lost"] > 10, f"lost {frame['lost']}")
    await ws.texts(20 - frame["lost"] - 1)
    await server.push("alice", 5000 * "x")  # an empty mailbox takes any one message
    equal(await ws.texts(1), [5000 * "x"])


@test("--max-buffer", "8", "--send-buffer", "4096", "--max-message", "4000")
async def a_gap_ends_an_answer(server):
    """A poll's answer has no gap in the middle: lost is what was lost before its first message."""
    await away(server)
    await push_numbers(server, "alice", 1, 8)
    ws = await server.ws(**GOOD, ack=1)
    equal(await ws.texts(8), numbers(1, 8))
    ws.drop()
    await server.connected(0)
    await push_numbers(server, "alice", 9, 12)
    answer = await server.poll(**GOOD, wait=0, ack=0)
    equal((answer["lost"], texts(answer)), (4, numbers(5, 12)))


def slow_socket(server, path):
    """A WebSocket that does not read."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", server.port))
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode() + UPGRADE)
    return s


@test("--max-buffer", "16", "--send-buffer", "4096", "--max-message", "2000")
async def one_that_does_not_read(server):
    slow = slow_socket(server, "/ws?user=alice&device=slow")
    await server.connected(1)
    ws = await server.ws("alice", "phone")
    for i in range(300):
        await server.push("alice", f"{i:01500d}")
        equal(await ws.texts(1), [f"{i:01500d}"])
    stats = await server.stats()
    check(stats["dropped"] > 100, f"dropped {stats['dropped']}")
    equal([d["device"] for d in stats["slowest"] if d["dropped"]], ["slow"])
    check(stats["queued"] <= 16, "queued more than it may")
    slow.close()


@test("--max-buffer", "16", "--send-buffer", "4096", "--max-message", "2000")
async def the_end_with_one_that_does_not_read(server):
    slow = slow_socket(server, "/ws?user=alice&device=slow")
    await server.connected(1)
    for i in range(100):
        await server.push("alice", 1500 * "x")
    server.signal()
    equal(await server.wait(), (0, ""))
    slow.close()


# ---- Nothing is lost ------------------------------------------------------------------------------------------


async def receive_by_ws(server, total, rnd):
    """Reconnects again and again without a word, and acknowledges what it has."""
    seen = []
    while len(seen) < total:
        ws = await server.ws(**GOOD, ack=1)
        for _ in range(rnd.randint(1, 40)):
            try:
                message = json.loads(await asyncio.wait_for(ws.socket.recv(), 1))["message"]
            except asyncio.TimeoutError:
                break
            if not seen or message["id"] > seen[-1][0]:
                seen.append((message["id"], message["text"]))
            if rnd.random() < 0.5:
                await ws.ack(message["id"])
        ws.drop() if rnd.random() < 0.7 else await ws.close()
    return [text for _, text in seen]


async def receive_by_events(server, total, rnd):
    seen, last = [], None
    while len(seen) < total:
        stream = await server.events(**GOOD, last=last or "0")
        for _ in range(rnd.randint(1, 40)):
            try:
                event = await asyncio.wait_for(stream.event(), 1)
            except asyncio.TimeoutError:
                break
            last = event["id"]
            seen.append(event["data"]["text"])
        stream.writer.transport.abort()
    return seen


async def receive_by_polls(server, total, rnd):
    seen, ack = [], "0"
    while len(seen) < total:
        if rnd.random() < 0.3:  # an answer that does not arrive
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(f"GET /poll?user=alice&device=phone&wait=0&ack={ack} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await writer.drain()
            writer.transport.abort()
            continue
        answer = await server.get("/poll", **GOOD, wait=1, ack=ack, max=rnd.randint(1, 30))
        if answer.status == 409:  # the server saw one that was given up after this one
            continue
        seen += texts(answer.json)
        ack = answer.json.get("ack", ack)
    return seen


async def nothing_is_lost(server, receive):
    total, rnd = 600, random.Random(1)
    await away(server)
    pushing = asyncio.create_task(push_numbers(server, "alice", 1, total))
    equal(await receive(server, total, rnd), numbers(1, total))
    await pushing


@test("--max-buffer", "1000")
async def nothing_is_lost_by_websocket(server):
    await nothing_is_lost(server, receive_by_ws)


@test("--max-buffer", "1000")
async def nothing_is_lost_by_events(server):
    await nothing_is_lost(server, receive_by_events)


@test("--max-buffer", "1000")
async def nothing_is_lost_by_polls(server):
    await nothing_is_lost(server, receive_by_polls)


# ---- The program ----------------------------------------------------------------------------------------------


@test()
async def statistics(server):
    equal({k: v for k, v in (await server.stats()).items() if k not in ("boot", "uptime")},
          {"sessions": 0, "clients": 0, "connected": 0, "queued": 0, "queued_bytes": 0, "pushed": 0, "delivered": 0,
           "dropped": 0, "disconnected": 0, "slowest": []})
    for i in range(12):
        await (await server.ws(f"user {i}", "phone")).close()
    await server.connected(0)
    for i in range(12):
        await push_numbers(server, f"user {i}", 1, i)
    ws = await server.ws("user 0", "laptop")
    stats = await server.stats()
    equal((stats["sessions"], stats["clients"], stats["connected"], stats["pushed"], stats["delivered"], stats["queued"]),
          (12, 13, 1, 66, 66, 66))
    equal([(d["user"], d["queued"], d["high_water"], d["connected"]) for d in stats["slowest"]],
          [(f"user {i}", i, i, False) for i in range(11, 1, -1)])
    equal(stats["boot"], ws.hello["boot"])


@test("--window", "1", "--max-buffer", "16", "--send-buffer", "4096")
async def idle(server):
    """Whatever its clients do not do, the server waits: it does not look for work again and again."""
    slow = slow_socket(server, "/ws?user=alice&device=slow")
    unacknowledged = await server.ws("alice", "phone", ack=1)
    stream = await server.events("alice", "stream")
    stream.writer.write(b"x")  # more than its request
    half = await server.events("alice", "half")
    half.writer.write_eof()  # it is not to send more
    poll = await asyncio.open_connection("127.0.0.1", server.port)
    poll[1].write(b"GET /poll?user=bob&device=phone&wait=60 HTTP/1.1\r\nHost: x\r\n\r\n")
    await away(server, "carol")
    for i in range(60):
        await server.push("alice", 1000 * "x")
    await server.push("carol", "x")
    before = cpu(server)
    await asyncio.sleep(1)
    check(cpu(server) - before <= 10, f"{cpu(server) - before} of 100 ticks in a second of doing nothing")
    check((await server.stats())["queued"] > 0, "nothing was left to do")
    slow.close()
    await unacknowledged.close()


@test("--max-message", "1", "--max-devices", "12")
async def the_longest_statistics(server):
    user = 64 * '"'
    for i in range(12):
        await away(server, user, f"{i:\\>64}")
    stats = await server.stats()
    equal([d["user"] for d in stats["slowest"]], 10 * [user])
    await server.push(user, "\1")
    equal(texts(await server.poll(user, f"{0:\\>64}")), ["\1"])


@test("--max-buffer", "1", "--overflow", "disconnect", "--window", "1")
async def the_end_with_one_too_slow(server):
    await server.ws(**GOOD, ack=1)
    for _ in range(5):
        await server.push("alice", "x")
    server.signal()
    server.signal()


async def ends_well(server, number):
    ws, acks = await server.ws("alice", "1"), await server.ws("alice", "2", ack=1)
    stream = await server.events("alice", "3")
    waiting = asyncio.create_task(server.get("/poll", user="alice", device="4", wait=30))
    idle = await asyncio.open_connection("127.0.0.1", server.port)
    await server.connected(4)
    server.signal(number)
    equal([await ws.closed(), await acks.closed()], [1001, 1001])
    equal((await stream.event())["event"], "bye")
    equal((await asyncio.wait_for(waiting, DEADLINE)).status, 503)
    equal(await server.wait(), (0, ""))
    equal(await asyncio.wait_for(idle[0].read(), DEADLINE), b"")


@test()
async def sigterm(server):
    await ends_well(server, signal.SIGTERM)


@test()
async def sigint(server):
    await ends_well(server, signal.SIGINT)


@test()
async def a_second_signal(server):
    slow = slow_socket(server, "/ws?user=alice&device=slow")
    await server.connected(1)
    server.signal()
    await soon(lambda: refused(server), "it stops")
    server.signal()
    equal(await server.wait(), (0, ""))
    slow.close()


async def refused(server):
    try:
        return (await server.get("/stats")).status == 503
    except OSError:
        return True


@test()
async def garbage(server):
    """Whatever comes: it answers or hangs up, and goes on."""
    rnd = random.Random(2)
    requests = [b"GET /ws?user=alice&device=phone HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\x81\x85\0\0\0\0hello",
                b"POST /push?user=alice HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
                b"GET /events?user=alice&device=phone HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 0123-5\r\n\r\n",
                b"GET /poll?user=alice&device=phone&wait=0&ack=0 HTTP/1.1\r\nHost: x\r\n\r\n",
                b"DELETE /clients?user=alice HTTP/1.1\r\nHost: x\r\n\r\n"]

    async def one():
        data = bytearray(rnd.choice(requests))
        for _ in range(rnd.randint(0, 5)):
            at = rnd.randrange(len(data))
            match rnd.randrange(3):
                case 0:
                    data[at] = rnd.randrange(256)
                case 1:
                    del data[at:at + rnd.randint(1, 20)]
                case 2:
                    data[at:at] = rnd.randbytes(rnd.randint(1, 20))
            if not data:
                return
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(bytes(data))
            await asyncio.wait_for(reader.read(100), 0.2)
            writer.transport.abort()
        except (asyncio.TimeoutError, ConnectionResetError):
            writer.transport.abort()

    for _ in range(30):
        await asyncio.gather(*(one() for _ in range(20)))
    equal((await server.get("/stats")).status, 200)


@test()
async def the_command_line(server):
    async def run(*options):
        process = await asyncio.to_thread(subprocess.run, [PROGRAM, "--www", WWW, *options], capture_output=True, text=True,
                                          timeout=DEADLINE)
        return process.returncode, process.stdout, process.stderr

    status, out, err = await run("--help")
    check(status == 0 and out.startswith("usage: push-server") and err == "", out + err)
    for options in [["--port", "x"], ["--port", "70000"], ["--port"], ["--nonsense"], ["word"], ["--overflow", "block"],
                    ["--overflow", "x"], ["--grace", "-1"], ["--max-buffer", "0"], ["--window", "0"], ["--max-message", ""],
                    ["--ping", "0"], ["--max-users", "0x10"], ["--cluster", "x"], ["--jetstream"]]:
        status, out, err = await run(*options)
        check(status == 2 and out == "" and len(err) > 10, f"{options}: {status} {out} {err}")
    for options in [["--port", str(server.port)], ["--listen", "192.0.2.1"], ["--max-connections", "1048576"]]:
        status, out, err = await run(*options)
        if options[0] != "--max-connections" or status != 0:
            check(status == 1 and out == "" and len(err) > 10, f"{options}: {status} {out} {err}")
    status, out, err = await run("--port", "0", "--nats", "nats://127.0.0.1:1")
    check(status == 1 and out == "" and "PUSH_BUILD_NATS" in err, f"built without NATS: {status} {out} {err}")


sys.exit(main(PROGRAM, WWW, sys.argv[3:]))
