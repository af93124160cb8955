"""examples/python/push.py: PUSH_HEADER=push.h PUSH_LIBRARY=libpush.so python3 test_push.py (PUSH_PIPES=1: built with
PUSH_USE_PIPE). After each test the library must hold no memory, and the process no more descriptors than before."""
import asyncio
import ctypes
import errno
import gc
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"))
import push  # noqa: E402

HEADER = pathlib.Path(os.environ["PUSH_HEADER"]).read_text()

INTERRUPTED = """
import signal, sys
sys.path.insert(0, sys.argv[1])
import push
signal.signal(signal.SIGINT, signal.default_int_handler)
client = push.Client.open("s", "c")
pull, calls = client._pull, []
def pull_and_tell(milliseconds):
    calls.append(milliseconds)
    if len(calls) == 2:
        print("waits", flush=True)
    return pull(milliseconds)
client._pull = pull_and_tell
try:
    client.pull()
except KeyboardInterrupt:
    print("interrupted")
"""


class CountingAllocator:
    """The C library's, with the blocks counted."""

    def __init__(self):
        c = ctypes.CDLL(None)
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        for name, result, arguments in (
            ("malloc", pointer, [size]),
            ("realloc", pointer, [pointer, size]),
            ("free", None, [pointer]),
        ):
            function = getattr(c, name)
            function.restype, function.argtypes = result, arguments
        self.c, self.blocks, self.refusing = c, set(), False
        self.functions = (
            ctypes.CFUNCTYPE(pointer, size)(self.malloc),
            ctypes.CFUNCTYPE(pointer, pointer, size)(self.realloc),
            ctypes.CFUNCTYPE(None, pointer)(self.free),
        )
        set_allocator = push._lib.push_set_allocator
        if set_allocator(*self.functions) != 0:
            raise RuntimeError("the library has been used already")

    def malloc(self, size):
        return self.realloc(None, size)

    def realloc(self, block, size):
        if self.refusing:
            return None
        self.blocks.discard(block)
        block = self.c.realloc(block, size)
        self.blocks.add(block)
        return block

    def free(self, block):
        self.blocks.discard(block)
        self.c.free(block)


allocator = CountingAllocator()


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def await_condition(condition):
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come true in 20 seconds")
        time.sleep(0.001)


class Thread(threading.Thread):
    """A call on another thread, and what came of it."""

    def __init__(self, call, *args):
        super().__init__(daemon=True)
        self.call, self.args, self.result, self.error = call, args, None, None
        self.start()

    def run(self):
        try:
            self.result = self.call(*self.args)
        except BaseException as error:  # for the test to look at
            self.error = error

    def finish(self):
        self.join(20)
        assert not self.is_alive(), "the call did not return in 20 seconds"
        if self.error is not None:
            raise self.error
        return self.result


class Case(unittest.TestCase):
    def setUp(self):
        self.descriptors = descriptors()

    def tearDown(self):
        push.shutdown()
        gc.collect()
        self.assertEqual(allocator.blocks, set())
        self.assertEqual(descriptors(), self.descriptors)

    def fails(self, error, number, call, *args, **kwargs):
        with self.assertRaises(error) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.errno, number)
        self.assertTrue(caught.exception.strerror.startswith("push: "))

    def empty(self, client):
        self.fails(BlockingIOError, errno.EAGAIN, client.pull, 0)

    def closed(self, client):
        self.fails(BrokenPipeError, errno.EPIPE, client.pull, 0)


class Interface(unittest.TestCase):
    """The prototypes are those of push.h."""

    KINDS = {
        "void": None, "int": ctypes.c_int, "bool": ctypes.c_bool, "size_t": ctypes.c_size_t, "push_id": push._Id,
        "uint64_t": ctypes.c_uint64,
    }

    def kinds(self, declared):
        if "*" in declared:
            return "pointer"
        words = [word for word in re.findall(r"\w+", declared) if word != "const"]
        return self.KINDS[words[0]]

    @staticmethod
    def kind(ctype):
        pointer = ctype in (ctypes.c_void_p, ctypes.c_char_p) or hasattr(ctype, "contents")
        return "pointer" if pointer else ctype

    def test_prototypes(self):
        declared = dict(
            (name, (result, arguments))
            for result, name, arguments in re.findall(r"^PUSH_API ([^;(]*?)(push_\w+)\(([^;]*)\);", HEADER, re.M)
        )
        for name, (result, *arguments) in push._PROTOTYPES.items():
            want_result, want_arguments = declared[name]
            with self.subTest(name):
                self.assertEqual(self.kind(result), self.kinds(want_result))
                split = [] if want_arguments == "void" else want_arguments.split(",")
                self.assertEqual([self.kind(a) for a in arguments], [self.kinds(a) for a in split])

    def test_structures(self):
        for structure, name in (
            (push._Id, "push_id"), (push._Report, "push_report"), (push._Options, "push_client_options"),
            (push._Stats, "push_client_stats"), (push._Event, "push_event"),
        ):
            body = re.search(r"typedef struct %s \{(.*?)\} %s;" % (name, name), HEADER, re.S).group(1)
            body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
            fields = [field for line in re.findall(r"[^;]+;", body) for field in re.findall(r"(\w+)\s*[,;]", line)]
            self.assertEqual([field for field, _ in structure._fields_], fields)

    def test_enums(self):
        for kind, name in ((push.Overflow, "push_overflow"), (push.Duplicate, "push_duplicate")):
            body = re.search(r"typedef enum %s \{(.*?)\}" % name, HEADER, re.S).group(1)
            names = re.findall(r"PUSH_(\w+)", re.sub(r"/\*.*?\*/", "", body, flags=re.S))
            self.assertEqual([member.name for member in kind], names)
            self.assertEqual([member.value for member in kind], list(range(len(names))))

    def test_version(self):
        self.assertEqual(push.version(), re.search(r'PUSH_VERSION_STRING "(.*)"', HEADER).group(1))


class Names(Case):
    def test_kinds(self):
        names = ["alice", b"\xff\x00", "zwölf", 0, 42, 2**64 - 1, "42", ""]
        kept = [push.Session(name) for name in names]
        for session, name in zip(kept, names):
            self.assertEqual(session.name, name)
        self.assertCountEqual(push.sessions(), names)
        self.assertEqual(push.Session("zwölf".encode()).name, "zwölf")
        self.assertEqual(len(push.sessions()), len(names))

    def test_refused(self):
        for number in (-1, 2**64):
            self.assertRaises(OverflowError, push.Session, number)
        self.fails(OSError, errno.EINVAL, push.Session, None)
        self.fails(OSError, errno.EINVAL, push.Session, "x" * 65537)
        self.assertRaises(TypeError, push.Session, object())


class Messages(Case):
    def test_bytes(self):
        for data in (b"", b"text", b"a\0b", bytearray(b"array"), memoryview(b"view"), b"x" * 100000):
            message = push.Message(data)
            self.assertEqual((bytes(message), len(message), message.lost), (bytes(data), len(data), 0))
            self.assertEqual(bytes(message.view()), bytes(data))
        self.assertEqual(repr(push.Message(b"text")), "Message(b'text')")

    def test_a_view_holds_the_message(self):
        view = push.Message(b"text").view()
        gc.collect()
        self.assertEqual(bytes(view), b"text")
        self.assertTrue(view.readonly)
        self.assertEqual(len(allocator.blocks), 1)
        del view
        self.assertEqual(allocator.blocks, set())

    def test_no_memory(self):
        allocator.refusing = True
        try:
            self.fails(OSError, errno.ENOMEM, push.Message, b"text")
        finally:
            allocator.refusing = False


class Sessions(Case):
    def test_life(self):
        self.assertFalse(push.exists("s"))
        self.fails(FileNotFoundError, errno.ENOENT, push.Session.find, "s")
        with push.Session("s") as session:
            self.assertTrue(push.exists("s") and session)
            self.assertEqual((session.name, len(session), session.clients()), ("s", 0, []))
            client = push.Client(session, 7)
            self.assertEqual((len(session), session.clients()), (1, [7]))
            self.assertFalse(push.delete_if_empty("s"))
            self.assertTrue(session.delete_client(7))
            self.assertFalse(session.delete_client(7))
            self.closed(client)
        self.assertTrue(push.exists("s"))
        self.assertRaises(ValueError, lambda: session.name)
        session.close()
        session = push.Session.find("s")
        self.assertTrue(push.delete_if_empty("s"))
        self.fails(BrokenPipeError, errno.EPIPE, session.push, b"text")
        self.fails(BrokenPipeError, errno.EPIPE, push.Client, session, "c")
        push.Session("s")
        self.assertTrue(push.delete("s"))
        self.assertFalse(push.delete("s"))

    def test_push(self):
        session = push.Session("s")
        self.assertEqual(session.push(b"nobody"), 0)
        a = push.Client(session, "a")
        b = push.Client(session, "b", max_buffer=1, overflow=push.Overflow.DROP_NEWEST)
        self.assertEqual(session.push(bytearray(b"1")), 2)
        self.assertEqual(session.send(push.Message(b"2")), push.Report(1, 1, 0, 0))
        self.assertEqual(session.send(b"3", origin="a", timeout=0), (0, 1, 0, 0))
        self.assertEqual([bytes(m) for m in a.pull_many(10)], [b"1", b"2"])
        self.assertEqual(bytes(b.pull()), b"1")
        session.push(b"4")
        message = b.pull()
        self.assertEqual((bytes(message), message.lost), (b"4", 2))


class Clients(Case):
    def test_life(self):
        session = push.Session("s")
        self.fails(FileNotFoundError, errno.ENOENT, push.Client.find, session, "c")
        client = push.Client(session, "c", max_buffer=3, max_bytes=100)
        self.assertEqual((client.name, client.session.name), ("c", "s"))
        self.assertEqual(push.Client.find(session, "c").stat(), push.Stats(0, 0, 3, 0, 0, 0, 0, False))
        self.fails(FileExistsError, errno.EEXIST, push.Client, session, "c", duplicate=push.Duplicate.REFUSE)
        self.fails(OSError, errno.EINVAL, push.Client, session, "d", max_buffer=0, overflow=push.Overflow.DISCONNECT)
        self.assertRaises(ValueError, push.Client, session, "d", max_buffer=-1)
        self.assertRaises(ValueError, push.Client, session, "d", overflow=4)
        self.assertTrue(client.delete())
        self.assertFalse(client.delete())
        self.assertTrue(client.stat().closed)
        self.closed(client)
        self.fails(BrokenPipeError, errno.EPIPE, client.send, b"text")

    def test_open(self):
        client = push.Client.open("s", 1)
        self.assertTrue(push.exists("s"))
        client.delete()
        self.assertFalse(push.exists("s"))

    def test_takeover(self):
        old = push.Client.open("s", "c")
        old.send(b"unread")
        new = push.Client.open("s", "c", duplicate=push.Duplicate.TAKEOVER)
        self.closed(old)
        self.assertEqual(bytes(new.pull()), b"unread")

    def test_transfer(self):
        client = push.Client.open("s", "c", max_buffer=2)
        self.empty(client)
        self.assertEqual(client.send(b"1"), push.Report(1, 0, 0, 0))
        client.send(push.Message(b"2"))
        self.assertEqual(client.send(b"3", timeout=0), push.Report(0, 0, 0, 1))
        self.assertEqual(client.send(b"3", timeout=0.01).timed_out, 1)
        message = client.pull()
        client.unpull(message)
        self.assertEqual(bytes(client.pull(timeout=1)), b"1")
        self.assertEqual([bytes(m) for m in client.pull_many(5, timeout=0)], [b"2"])
        self.fails(OSError, errno.EINVAL, client.pull_many, 0)
        self.assertRaises(ValueError, client.pull_many, -1)
        client.unpull(message)
        client.unpull(message)
        self.fails(OSError, errno.EINVAL, client.unpull, message)
        self.assertEqual(bytes(message), b"1")

    def test_gaps(self):
        client = push.Client.open("s", "c", max_buffer=2, overflow=push.Overflow.DROP_OLDEST)
        for n in range(5):
            client.send(str(n).encode())
        messages = client.pull_many(10)
        self.assertEqual([(bytes(m), m.lost) for m in messages], [(b"3", 3), (b"4", 0)])

    def test_timeouts(self):
        client = push.Client.open("s", "c")
        for call in (client.pull, lambda timeout: client.pull_many(1, timeout)):
            for on_thread in (False, True):
                start = time.monotonic()
                wait = (lambda: Thread(call, 0.25).finish()) if on_thread else (lambda: call(0.25))
                self.fails(TimeoutError, errno.ETIMEDOUT, wait)
                self.assertGreaterEqual(time.monotonic() - start, 0.25)
            self.fails(BlockingIOError, errno.EAGAIN, call, 0)

    def test_milliseconds(self):
        for seconds, milliseconds in (
            (None, -1), (0, 0), (-1, 0), (-0.0001, 0), (0.0001, 1), (1.5, 1500), (1e300, 2**31 - 1),
            (float("inf"), 2**31 - 1),
        ):
            self.assertEqual(push._milliseconds(seconds), milliseconds)

    def test_waiting_thread(self):
        client = push.Client.open("s", "c")
        waiting = Thread(client.pull)
        client.send(b"text")
        self.assertEqual(bytes(waiting.finish()), b"text")

    def test_closing_while_another_thread_waits(self):
        def attempt():
            client = push.Client.open("s", "c")
            waiting = Thread(client.pull)
            client.close()
            client.close()
            self.assertRaises(ValueError, client.pull)
            push.Session.find("s").push(b"text")
            try:
                return bytes(waiting.finish())
            except ValueError:  # it was closed before the thread came to it
                push.delete("s")
                return None

        await_condition(lambda: attempt() == b"text")

    def test_iteration(self):
        session = push.Session("s")
        client = push.Client(session, "c", max_buffer=1)
        reader = Thread(lambda: [bytes(message) for message in client])
        for n in range(100):
            session.push(str(n).encode())
        push.delete("s")
        self.assertEqual(reader.finish(), [str(n).encode() for n in range(100)])

    def test_ctrl_c_ends_a_wait(self):
        # In a process without the allocator of these tests: what a signal handler raises in one of its calls is lost.
        with subprocess.Popen(
            [sys.executable, "-B", "-c", INTERRUPTED, str(pathlib.Path(push.__file__).parent)], stdout=subprocess.PIPE
        ) as child:
            self.assertEqual(child.stdout.readline(), b"waits\n")
            child.send_signal(signal.SIGINT)
            self.assertEqual(child.communicate(timeout=20)[0], b"interrupted\n")

    def test_fileno(self):
        client = push.Client.open("s", "c")
        self.assertEqual(client.fileno(), push.Client.open("s", "c").fileno())
        self.assertEqual(descriptors(), self.descriptors + self.per_client())

    @staticmethod
    def per_client():
        return 2 if os.environ.get("PUSH_PIPES") == "1" else 1


class Pollers(Case):
    def test_events(self):
        session = push.Session("s")
        a, b = push.Client(session, "a"), push.Client(session, "b")
        with push.Poller() as poller, push.Poller() as other:
            self.fails(BlockingIOError, errno.EAGAIN, poller.wait, timeout=0)
            self.fails(TimeoutError, errno.ETIMEDOUT, poller.wait, timeout=0.001)
            self.fails(OSError, errno.EINVAL, poller.wait, 0)
            poller.add(a, "first")
            self.fails(FileExistsError, errno.EEXIST, poller.add, a, "second")
            self.fails(OSError, errno.EBUSY, other.add, a)
            self.fails(FileNotFoundError, errno.ENOENT, other.remove, a)
            self.fails(FileNotFoundError, errno.ENOENT, other.pause, a)
            self.fails(FileNotFoundError, errno.ENOENT, other.resume, a)
            poller.add(b)
            session.push(b"1")
            self.assertCountEqual(poller.wait(), [(a, "first"), (b, None)])
            self.assertEqual(len(poller.wait(1)), 1)
            poller.pause(a)
            self.assertEqual(poller.wait(), [(b, None)])
            poller.resume(a)
            self.assertCountEqual(poller.wait(timeout=1), [(a, "first"), (b, None)])
            poller.wake()
            self.assertEqual(poller.wait(), [])
            poller.remove(a)
            b.pull()
            self.empty(b)
            self.fails(BlockingIOError, errno.EAGAIN, poller.wait, timeout=0)
            b.delete()
            self.assertEqual(poller.wait(), [(b, None)])
        self.assertRaises(ValueError, poller.wait)

    def test_it_holds_its_clients(self):
        poller = push.Poller()
        poller.add(push.Client.open("s", "c"), 1)
        gc.collect()
        push.Session.find("s").push(b"text")
        ((client, data),) = poller.wait()
        self.assertEqual((bytes(client.pull()), data), (b"text", 1))

    def test_removed_by_another_handle(self):
        poller = push.Poller()
        poller.add(push.Client.open("s", "c"), 1)
        poller.remove(push.Client.open("s", "c"))
        self.assertEqual(poller._members, {})

    def test_closing_while_another_thread_waits(self):
        poller = push.Poller()
        waiting = Thread(poller.wait)
        await_condition(lambda: waiting.ident is not None)
        poller.wake()
        self.assertEqual(waiting.finish(), [])
        poller.close()


class Asyncio(Case):
    @staticmethod
    def run_loop(main):
        asyncio.run(asyncio.wait_for(main(), 20))

    def test_pull(self):
        async def main():
            client = push.Client.open("s", "c")
            client.send(b"1")
            self.assertEqual(bytes(await client.pull_async()), b"1")
            waiting = asyncio.create_task(client.pull_async())
            await asyncio.sleep(0)
            thread = Thread(client.send, b"2")
            self.assertEqual(bytes(await waiting), b"2")
            thread.finish()
            client.delete()
            with self.assertRaises(BrokenPipeError):
                await client.pull_async()

        self.run_loop(main)

    def test_cancelled(self):
        async def main():
            client = push.Client.open("s", "c")
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(client.pull_async(), 0.01)
            client.send(b"1")
            self.assertEqual(bytes(await client.pull_async()), b"1")

        self.run_loop(main)

    def test_two_handles_and_two_coroutines_share_a_client(self):
        async def main():
            client, again = push.Client.open("s", "c"), push.Client.open("s", "c")
            pulls = [asyncio.create_task(each.pull_async()) for each in (client, again, client, again)]
            await asyncio.sleep(0)
            for n in range(4):
                client.send(str(n).encode())
            got = [bytes(message) for message in await asyncio.gather(*pulls)]
            self.assertCountEqual(got, [b"0", b"1", b"2", b"3"])

        self.run_loop(main)

    def test_closing_while_a_coroutine_waits(self):
        async def main():
            client = push.Client.open("s", "c")
            waiting = asyncio.create_task(client.pull_async())
            await asyncio.sleep(0)
            client.close()
            push.Client.open("s", "c").send(b"text")
            with self.assertRaises(ValueError):
                await waiting

        self.run_loop(main)

    def test_iteration(self):
        def pusher(session):
            for n in range(1000):
                session.push(str(n).encode())
            push.delete("s")

        async def main():
            session = push.Session("s")
            client = push.Client(session, "c")
            thread = Thread(pusher, session)
            self.assertEqual([int(bytes(m)) async for m in client], list(range(1000)))
            thread.finish()

        self.run_loop(main)

    def test_poller(self):
        async def main():
            session, poller, got = push.Session("s"), push.Poller(), []
            for n in range(100):
                poller.add(push.Client(session, n), n)
            thread = Thread(lambda: [session.push(b"%d" % n) for n in range(10)])
            while len(got) < 1000:
                for client, n in await poller.wait_async():
                    try:
                        got.append((n, int(bytes(client.pull(0)))))
                    except BlockingIOError:
                        pass
            thread.finish()
            self.assertEqual(sorted(got), [(n, m) for n in range(100) for m in range(10)])
            poller.wake()
            self.assertEqual(await poller.wait_async(), [])

        self.run_loop(main)


if __name__ == "__main__":
    unittest.main()
