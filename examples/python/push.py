"""libpush for Python, by ctypes: one file to copy, no compiler. Python 3.10 or newer.

    import push

    with push.Session("alice") as alice, push.Client(alice, "phone") as phone:
        alice.push(b"hello")
        message = phone.pull()
        print(bytes(message), message.lost)

The library is what the environment variable PUSH_LIBRARY names, or else the system's libpush.so.0.

Names (ids) are str, bytes or int; a str and its UTF-8 bytes are the same one, 42 and "42" are not. None is no name.
What comes back is a str, or bytes where they are no UTF-8.

Timeouts are in seconds; None waits for ever, 0 does not wait. Calls that wait let other threads run. In the main
thread, pull(), pull_many(), wait() and iteration end by a signal's handler that raises (Ctrl-C); a push or send that
waits for a full mailbox does not, so give it a timeout there.

Errors are OSErrors, which Python gives the class of their errno, with the library's sentence:

    BlockingIOError    timeout 0, and there is nothing
    TimeoutError       the timeout ran out
    BrokenPipeError    the client or its session was deleted, and its mailbox is drained
    FileNotFoundError  no such session, no such client
    FileExistsError    the client's name is taken; the client is in this poller already
    OSError            any other, EINVAL (a wrong argument) and EBUSY say

With asyncio, `await client.pull_async()` and `async for message in client` wait on the client's descriptor, in the
loop's thread: no threads, no polling; send(..., timeout=0) pushes without waiting. One thread serves thousands of
clients with a Poller: `await poller.wait_async()`, in a loop.

Sessions, clients and pollers are handles: close() them, or use `with`, or leave it to the garbage collector. Closing a
handle deletes nothing; delete() does. Any thread may use any of them. After a fork they must not be used in the child.
"""
import asyncio
import collections
import ctypes
import enum
import math
import os
import threading
import time
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_size_t, c_uint64, c_void_p

__all__ = [
    "Client", "Duplicate", "Message", "Overflow", "Poller", "Report", "Session", "Stats",
    "delete", "delete_if_empty", "exists", "sessions", "shutdown", "version",
]

# ---- The C interface: push.h says what each call does --------------------------------------------------------


class _Id(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("value", c_uint64), ("kind", c_int)]


class _Report(ctypes.Structure):
    _fields_ = [(name, c_size_t) for name in ("delivered", "dropped", "disconnected", "timed_out")]


class _Options(ctypes.Structure):
    _fields_ = [("max_buffer", c_size_t), ("max_bytes", c_size_t), ("overflow", c_int), ("duplicate", c_int)]


class _Stats(ctypes.Structure):
    _fields_ = [
        ("queued", c_size_t), ("queued_bytes", c_size_t), ("max_buffer", c_size_t), ("high_water", c_size_t),
        ("pushed", c_uint64), ("pulled", c_uint64), ("dropped", c_uint64), ("closed", c_bool),
    ]


class _Event(ctypes.Structure):
    _fields_ = [("client", c_void_p), ("data", c_void_p)]


_PROTOTYPES = {
    "push_version": (c_char_p,),
    "push_strerror": (c_char_p, c_int),
    "push_id_int": (_Id, c_uint64),
    "push_id_bytes": (_Id, c_char_p, c_size_t),
    "push_msg_new": (c_void_p, c_char_p, c_size_t),
    "push_msg_ref": (c_void_p, c_void_p),
    "push_msg_unref": (None, c_void_p),
    "push_msg_data": (c_void_p, c_void_p),
    "push_msg_size": (c_size_t, c_void_p),
    "push_session_new": (c_void_p, _Id, _Id, c_size_t),
    "push_session_find": (c_void_p, _Id),
    "push_session_ref": (c_void_p, c_void_p),
    "push_session_unref": (None, c_void_p),
    "push_session_id": (_Id, c_void_p),
    "push_session_push": (c_int, c_void_p, c_char_p, c_size_t),
    "push_session_send": (c_int, c_void_p, c_void_p, _Id, c_int, POINTER(_Report)),
    "push_session_delete_client": (c_bool, c_void_p, _Id),
    "push_session_len": (c_size_t, c_void_p),
    "push_session_clients": (POINTER(_Id), c_void_p, POINTER(c_size_t)),
    "push_ids_free": (None, POINTER(_Id)),
    "push_session_exists": (c_bool, _Id),
    "push_session_delete": (c_bool, _Id),
    "push_session_delete_if_empty": (c_bool, _Id),
    "push_sessions": (POINTER(_Id), POINTER(c_size_t)),
    "push_shutdown": (None,),
    "push_client_new": (c_void_p, c_void_p, _Id, POINTER(_Options)),
    "push_client_open": (c_void_p, _Id, _Id, POINTER(_Options)),
    "push_client_find": (c_void_p, c_void_p, _Id),
    "push_client_unref": (None, c_void_p),
    "push_client_id": (_Id, c_void_p),
    "push_client_session": (c_void_p, c_void_p),
    "push_client_send": (c_int, c_void_p, c_void_p, c_int, POINTER(_Report)),
    "push_client_pull": (c_int, c_void_p, POINTER(c_void_p), c_int),
    "push_client_pull_many": (c_int, c_void_p, POINTER(c_void_p), c_size_t, POINTER(c_size_t), c_int),
    "push_client_unpull": (c_int, c_void_p, c_void_p),
    "push_client_fd": (c_int, c_void_p),
    "push_client_delete": (c_bool, c_void_p),
    "push_client_stat": (c_int, c_void_p, POINTER(_Stats)),
    "push_poller_new": (c_void_p,),
    "push_poller_free": (None, c_void_p),
    "push_poller_add": (c_int, c_void_p, c_void_p, c_void_p),
    "push_poller_remove": (c_int, c_void_p, c_void_p),
    "push_poller_wait": (c_int, c_void_p, POINTER(_Event), c_int, c_int),
    "push_poller_fd": (c_int, c_void_p),
    "push_poller_pause": (c_int, c_void_p, c_void_p),
    "push_poller_resume": (c_int, c_void_p, c_void_p),
    "push_poller_wake": (None, c_void_p),
}


def _load():
    library = ctypes.CDLL(os.environ.get("PUSH_LIBRARY") or "libpush.so.0", use_errno=True)
    for name, (result, *arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_lib = _load()


def _error(code):
    return OSError(code, _lib.push_strerror(code).decode())


def _checked(rc):
    """A result of the C interface: a count, or an error raised."""
    if rc < 0:
        raise _error(-rc)
    return rc


class _Handle:
    """A C object, let go when the last user of this is done with it: close() may come while another thread waits."""

    __slots__ = ("_as_parameter_", "_let_go")

    def __init__(self, pointer, let_go):
        self._let_go = None
        if not pointer:
            raise _error(ctypes.get_errno())
        self._as_parameter_ = c_void_p(pointer)
        self._let_go = let_go

    def __del__(self):
        if self._let_go is not None:
            self._let_go(self._as_parameter_)


class _Descriptor:
    """A descriptor of our own: an event loop knows it by its number, and the library may close the other."""

    __slots__ = ("_fd",)

    def __init__(self, fd):
        self._fd = -1
        self._fd = os.dup(fd)

    def fileno(self):
        return self._fd

    def __del__(self):
        if self._fd >= 0:
            os.close(self._fd)


def _id(name):
    if name is None:
        return _Id()
    if isinstance(name, int):
        if not 0 <= name < 1 << 64:
            raise OverflowError("a number as a name has 64 bits, and no sign")
        return _lib.push_id_int(name)
    data = name.encode() if isinstance(name, str) else bytes(name)
    raw = _lib.push_id_bytes(data, len(data))
    raw._bytes = data  # which it points to
    return raw


def _name(raw):
    if raw.kind == 0:
        return None
    if raw.kind == 1:
        return raw.value
    data = ctypes.string_at(raw.data, raw.value)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _names(ids, count):
    if not ids:
        raise _error(ctypes.get_errno())
    try:
        return [_name(ids[i]) for i in range(count.value)]
    finally:
        _lib.push_ids_free(ids)


def _milliseconds(timeout):
    if timeout is None:
        return -1
    return max(math.ceil(min(timeout * 1000, 2**31 - 1)), 0)


def _size(number):
    if number < 0:
        raise ValueError("a size is not negative")
    return number


# ---- Messages ------------------------------------------------------------------------------------------------


class Message:
    """Bytes that never change, and that any number of clients share. Make one to send it often: it is copied once.

    bytes(message) copies; view() does not. `lost` is how many messages the client lost just before this one."""

    __slots__ = ("_handle", "lost")

    def __init__(self, data):
        data = bytes(data)
        self._handle = _Handle(_lib.push_msg_new(data, len(data)), _lib.push_msg_unref)
        self.lost = 0

    @classmethod
    def _adopt(cls, pointer, lost=0):
        message = cls.__new__(cls)
        message._handle = _Handle(pointer, _lib.push_msg_unref)
        message.lost = lost
        return message

    def __len__(self):
        return _lib.push_msg_size(self._handle)

    def __bytes__(self):
        return ctypes.string_at(_lib.push_msg_data(self._handle), len(self))

    def __repr__(self):
        return f"Message({bytes(self)!r})"

    def view(self):
        """A memoryview of the bytes themselves, which holds the message."""
        block = (ctypes.c_ubyte * len(self)).from_address(_lib.push_msg_data(self._handle))
        block._handle = self._handle
        return memoryview(block).cast("B").toreadonly()


def _message(data):
    return data if isinstance(data, Message) else Message(data)


# What a push did, in clients: those that took the message, lost one by it, were closed by it, were full still.
Report = collections.namedtuple("Report", [name for name, _ in _Report._fields_])

# Of a client: see push_client_stats.
Stats = collections.namedtuple("Stats", [name for name, _ in _Stats._fields_])


def _tuple(kind, structure):
    return kind(*(getattr(structure, name) for name in kind._fields))


# ---- Handles -------------------------------------------------------------------------------------------------


class _Closable:
    """What sessions, clients and pollers have in common."""

    _handle = None

    @classmethod
    def _adopt(cls, pointer):
        self = cls.__new__(cls)
        self._open(pointer)
        return self

    def _raw(self):
        if self._handle is None:
            raise ValueError(f"this {type(self).__name__} is closed")
        return self._handle

    def close(self):
        """Lets the handle go. Closing twice is fine."""
        self._handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


_SLICE = 0.1


class _Waitable(_Closable):
    """What has a descriptor to wait on, which is readable when there is something."""

    def _open_waits(self):
        self._descriptor = None
        self._turn = asyncio.Lock()

    def close(self):
        super().close()
        self._descriptor = None

    def _own_descriptor(self):
        if self._descriptor is None:
            self._descriptor = _Descriptor(self.fileno())
        return self._descriptor

    @staticmethod
    def _waiting(call, timeout):
        """call(milliseconds), which waits. Signals are handled in the main thread, between calls: there in slices."""
        if threading.current_thread() is not threading.main_thread():
            return call(_milliseconds(timeout))
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            try:
                return call(_milliseconds(min(left, _SLICE)) if timeout != 0 else 0)
            except TimeoutError:
                if left <= _SLICE:
                    raise

    async def _waiting_async(self, call):
        """The same in an event loop. Coroutines that wait for the same thing take turns."""
        async with self._turn:
            while True:
                try:
                    return call(0)
                except BlockingIOError:
                    await self._readable()

    async def _readable(self):
        loop = asyncio.get_running_loop()
        descriptor = self._own_descriptor()
        readable = loop.create_future()
        loop.add_reader(descriptor, lambda: readable.done() or readable.set_result(None))
        try:
            await readable
        finally:
            loop.remove_reader(descriptor)


class Session(_Closable):
    """A user or a group. Session(name) finds or creates it; it stays until it is deleted."""

    def __init__(self, name):
        self._open(_lib.push_session_new(_id(name), _Id(), 0))

    def _open(self, pointer):
        self._handle = _Handle(pointer, _lib.push_session_unref)

    @classmethod
    def find(cls, name):
        """The session of that name; never creates one."""
        return cls._adopt(_lib.push_session_find(_id(name)))

    @property
    def name(self):
        return _name(_lib.push_session_id(self._raw()))

    def push(self, data):
        """Pushes bytes to all clients, and waits for those that are full and block. Returns how many took it."""
        data = bytes(data)
        return _checked(_lib.push_session_push(self._raw(), data, len(data)))

    def send(self, data, origin=None, timeout=None):
        """Pushes bytes, or a Message, to all clients but the one named `origin`, and waits no longer than `timeout`
        for those that are full and block. Returns a Report."""
        report = _Report()
        message, limit = _message(data), _milliseconds(timeout)
        _checked(_lib.push_session_send(self._raw(), message._handle, _id(origin), limit, byref(report)))
        return _tuple(Report, report)

    def clients(self):
        """The names of the clients, in no order."""
        count = c_size_t()
        return _names(_lib.push_session_clients(self._raw(), byref(count)), count)

    def delete_client(self, name):
        """False: there was none."""
        return _lib.push_session_delete_client(self._raw(), _id(name))

    def __len__(self):
        return _lib.push_session_len(self._raw())

    def __bool__(self):
        return True  # also without clients


class Overflow(enum.IntEnum):
    """What a push does to a full mailbox."""

    BLOCK, DROP_NEWEST, DROP_OLDEST, DISCONNECT = range(4)


class Duplicate(enum.IntEnum):
    """What happens when the name of a new client is taken."""

    SHARE, TAKEOVER, REPLACE, REFUSE = range(4)


def _options(max_buffer=10, max_bytes=0, overflow=Overflow.BLOCK, duplicate=Duplicate.SHARE):
    return _Options(_size(max_buffer), _size(max_bytes), Overflow(overflow), Duplicate(duplicate))


class Client(_Waitable):
    """One device or connection of a session: a mailbox. Client(session, name) creates it, or finds it.

    Options: max_buffer=10 messages, max_bytes=0 (no such limit), overflow=Overflow.BLOCK, duplicate=Duplicate.SHARE.
    Iteration, plain or asynchronous, gives messages until the client is deleted and drained."""

    def __init__(self, session, name, **options):
        self._open(_lib.push_client_new(session._raw(), _id(name), _options(**options)))

    def _open(self, pointer):
        self._handle = _Handle(pointer, _lib.push_client_unref)
        self._open_waits()

    @classmethod
    def open(cls, session, name, **options):
        """Session, by its name, and client in one atomic step. A session that only this made goes with its last
        client."""
        return cls._adopt(_lib.push_client_open(_id(session), _id(name), _options(**options)))

    @classmethod
    def find(cls, session, name):
        """The client of that name; never creates one."""
        return cls._adopt(_lib.push_client_find(session._raw(), _id(name)))

    @property
    def name(self):
        return _name(_lib.push_client_id(self._raw()))

    @property
    def session(self):
        """A handle of its own."""
        handle = self._raw()
        return Session._adopt(_lib.push_session_ref(_lib.push_client_session(handle)))

    def send(self, data, timeout=None):
        """Pushes bytes, or a Message, to this one client. Returns a Report."""
        report = _Report()
        message = _message(data)
        _checked(_lib.push_client_send(self._raw(), message._handle, _milliseconds(timeout), byref(report)))
        return _tuple(Report, report)

    def _pull(self, milliseconds):
        pointer = c_void_p()
        lost = _checked(_lib.push_client_pull(self._raw(), byref(pointer), milliseconds))
        return Message._adopt(pointer.value, lost)

    def pull(self, timeout=None):
        """The next Message."""
        return self._waiting(self._pull, timeout)

    async def pull_async(self):
        """The next Message, in an event loop."""
        return await self._waiting_async(self._pull)

    def pull_many(self, limit, timeout=None):
        """Waits for the first Message, then takes what is there: 1 to `limit`, in a list that ends before the next
        gap."""

        def call(milliseconds):
            pointers, lost = (c_void_p * _size(limit))(), c_size_t()
            count = _checked(_lib.push_client_pull_many(self._raw(), pointers, limit, byref(lost), milliseconds))
            messages = [Message._adopt(pointers[i]) for i in range(count)]
            messages[0].lost = lost.value
            return messages

        return self._waiting(call, timeout)

    def unpull(self, message):
        """Puts a Message that was pulled, and could not be handed on, back to the front."""
        handle = self._raw()
        reference = _lib.push_msg_ref(message._handle)
        rc = _lib.push_client_unpull(handle, reference)
        if rc < 0:
            _lib.push_msg_unref(reference)
        _checked(rc)

    def fileno(self):
        """The descriptor, for select and the like: readable while there is something to pull, or the client is closed.
        Never read, write or close it."""
        return _checked(_lib.push_client_fd(self._raw()))

    def delete(self):
        """Deletes exactly this client. False: it was deleted already."""
        return _lib.push_client_delete(self._raw())

    def stat(self):
        """Its Stats."""
        stats = _Stats()
        _checked(_lib.push_client_stat(self._raw(), byref(stats)))
        return _tuple(Stats, stats)

    def __iter__(self):
        while True:
            try:
                message = self.pull()
            except BrokenPipeError:
                return
            yield message

    async def __aiter__(self):
        while True:
            try:
                message = await self.pull_async()
            except BrokenPipeError:
                return
            yield message


class Poller(_Waitable):
    """One wait point for many clients. A client is reported until a pull with it finds nothing, a closed one until it
    is removed."""

    def __init__(self):
        self._handle = _Handle(_lib.push_poller_new(), _lib.push_poller_free)
        self._members = {}  # address of the client -> its handle, and what to report
        self._open_waits()

    def close(self):
        super().close()
        self._members = {}

    def add(self, client, data=None):
        """Adds a client; wait() reports it as (client, data)."""
        handle = client._raw()
        address = handle._as_parameter_.value
        before = self._members.get(address)
        self._members[address] = client, data  # first: another thread may be told of it at once
        rc = _lib.push_poller_add(self._raw(), handle, None)
        if rc < 0 and before is None:
            del self._members[address]
        elif rc < 0:
            self._members[address] = before
        _checked(rc)

    def remove(self, client):
        """After this, no wait reports it."""
        handle = client._raw()
        _checked(_lib.push_poller_remove(self._raw(), handle))
        self._members.pop(handle._as_parameter_.value, None)

    def wait(self, limit=64, timeout=None):
        """Waits until clients are ready: a list of up to `limit` pairs (client, data). Empty for a wake(), or where
        another thread removed them meanwhile."""
        return self._waiting(lambda milliseconds: self._wait(limit, milliseconds), timeout)

    async def wait_async(self, limit=64):
        """The same in an event loop."""
        return await self._waiting_async(lambda milliseconds: self._wait(limit, milliseconds))

    def _wait(self, limit, milliseconds):
        events = (_Event * _size(limit))()
        count = _checked(_lib.push_poller_wait(self._raw(), events, limit, milliseconds))
        members = [self._members.get(events[i].client) for i in range(count)]
        return [member for member in members if member is not None]

    def pause(self, client):
        """Stops reporting a client for messages: its consumer cannot write now."""
        _checked(_lib.push_poller_pause(self._raw(), client._raw()))

    def resume(self, client):
        """Undoes pause()."""
        _checked(_lib.push_poller_resume(self._raw(), client._raw()))

    def wake(self):
        """Makes one wait, now or next, return an empty list."""
        _lib.push_poller_wake(self._raw())

    def fileno(self):
        """One descriptor for all, for select and the like. Never read, write or close it."""
        return _checked(_lib.push_poller_fd(self._raw()))


# ---- The process ---------------------------------------------------------------------------------------------


def exists(name):
    """True while there is a session of that name."""
    return _lib.push_session_exists(_id(name))


def delete(name):
    """Deletes a session and its clients: whoever waits on them returns. False: there was none."""
    return _lib.push_session_delete(_id(name))


def delete_if_empty(name):
    """The same, only while it has no client. False: it has one, or there is none."""
    return _lib.push_session_delete_if_empty(_id(name))


def sessions():
    """The names of all sessions, in no order."""
    count = c_size_t()
    return _names(_lib.push_sessions(byref(count)), count)


def shutdown():
    """Deletes every session, and frees the registry."""
    _lib.push_shutdown()


def version():
    """The library's."""
    return _lib.push_version().decode()
