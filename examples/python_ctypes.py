#!/usr/bin/env python3
"""libpush from Python, without a compiler: python/push.py is all there is to copy.

    python3 examples/python_ctypes.py [MESSAGES]

A user's devices, served in three ways: by a thread that waits, by asyncio, and by one poller for many, while another
thread pushes. PUSH_LIBRARY names libpush.so where it is not installed in the system.
"""
import asyncio
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent / "python"))
import push  # noqa: E402

SENSORS = 100


def on_a_thread(client, received):
    for message in client:  # until the client is deleted, and drained
        received.append(message)


async def with_asyncio(client, received):
    async for message in client:
        received.append(message)


async def with_a_poller(poller, open_clients, received):
    while open_clients > 0:
        for client, sensor in await poller.wait_async():
            try:
                received[sensor].extend(client.pull_many(16, timeout=0))
            except BlockingIOError:  # drained: it is not reported again until there is something
                pass
            except BrokenPipeError:  # deleted
                poller.remove(client)
                open_clients -= 1


def push_messages(session, count):
    for n in range(count):
        session.push(b"message %d" % n)  # waits where a mailbox is full
    push.delete(session.name)


async def main(count):
    phone, laptop, sensors = [], [], [[] for _ in range(SENSORS)]
    with push.Session("alice") as alice, push.Poller() as poller:
        thread = threading.Thread(target=on_a_thread, args=(push.Client(alice, "phone"), phone))
        desktop = asyncio.create_task(with_asyncio(push.Client(alice, "laptop"), laptop))
        for n in range(SENSORS):
            poller.add(push.Client(alice, n), n)
        polling = asyncio.create_task(with_a_poller(poller, SENSORS, sensors))
        pusher = threading.Thread(target=push_messages, args=(alice, count))
        # A mailbox that keeps the newest three, and tells what it lost.
        newest = push.Client(alice, "newest", max_buffer=3, overflow=push.Overflow.DROP_OLDEST)

        thread.start()
        pusher.start()
        await asyncio.gather(desktop, polling)
        thread.join()
        pusher.join()

        print(f"phone received {len(phone)} messages")
        print(f"laptop received {len(laptop)} messages")
        print(f"{SENSORS} sensors received {sum(map(len, sensors))} messages")
        for message in newest:
            print(f"newest: {bytes(message).decode()}" + (f", after {message.lost} lost" if message.lost else ""))
    push.shutdown()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
