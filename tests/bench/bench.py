#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the drivers of libpush and of its peers in turn, over several rounds, and says which targets are reached.

    bench.py BUILD [--smoke | --quick] [--rounds N] [--only PATTERN] [--record]

BUILD is the folder with the drivers; results go to BUILD/results. tests/bench.sh builds the drivers and calls this.
Every figure is a median of the rounds; every target is a ratio of medians of this one run.
"""

import argparse
import collections
import datetime
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

SOURCES = pathlib.Path(__file__).resolve().parent
INSTRUCTIONS = SOURCES / "instructions.txt"

# Which driver has a peer, and what its cells must say.
PEERS = {
    "push": ("push", "libpush, by client handle; several clients through a poller"),
    "push-id": ("push", "libpush, by session handle and client id"),
    "push-fd": ("push", "libpush, several clients in an epoll loop on their descriptors"),
    "go-original": ("go", "the Go original's design: a goroutine a client for each push"),
    "go-channels": ("go", "Go channels in a plain loop; a goroutine a client in `drain`, too"),
    "crossbeam": ("crossbeam", "bounded channels of `Arc`; `drain` sweeps over them"),
    "glib": ("glib", "GAsyncQueue: **unbounded**, the pusher never waits; `drain` sweeps over the queues"),
    "zmq": ("zmq", "inproc XPUB/SUB, blocking (`ZMQ_XPUB_NODROP`); copies the message"),
    "nng-pub": ("nng", "inproc pub0/sub0: **loses messages**; only deliveries that arrived count"),
    "nng-pair": ("nng", "inproc pair0, one a client: loses nothing; copies the message"),
    "condvar": ("condvar", "the textbook ring: a mutex and two condition variables a client"),
    "eventfd": ("eventfd", "a queue and an eventfd a client, written at each push"),
    "eventfd-edge": ("eventfd", "the same, written only where the queue was empty, drained in one go"),
    "pipe": ("pipe", "a pipe a client, bounded at 256 messages; copies the message"),
    "spin": ("floor", "a yardstick, no peer: rings of one producer and one consumer that spin and yield, nobody sleeps"),
    "futex": ("floor", "a yardstick, no peer: the kernel's futex alone, one message of room"),
}
RIVALS = [p for p in PEERS if not p.startswith("push") and p not in ("spin", "futex")]
ON_THREADS = [p for p in RIVALS if not p.startswith("go-")]  # goroutines are not OS threads

THREADS = (1, 8, 64, 1000)
DRAIN = (1, 8, 64, 1000, 10000)
BUFFERS = (1, 10, 100, 1000)
SESSIONS = 1_000_000
SMOKE_SESSIONS = 10_000

STREAM_SECONDS = 0.6  # a streaming cell, about
LEAST = 300  # messages: more than two mailboxes full
MOST = 20_000_000
PATIENCE = 180  # seconds for one driver
SLACK = 1.1  # instructions: more than recorded by this factor is a change to look at
SMOKE_SLACK = 1.25  # other compilers and C libraries than those of the record

Cell = collections.namedtuple("Cell", "workload n pushers peer")


class Failure(Exception):
    pass


def cells(smoke):
    """All cells, grouped by what is compared with each other."""
    for n in THREADS:
        peers = ["push", "push-id", *RIVALS, "spin"]
        yield [Cell("threads", n, 1, p) for p in peers]
    for n in DRAIN:
        yield [Cell("drain", n, 1, p) for p in ["push", "push-fd", *RIVALS, "spin"]]
    for workload in ("threads", "drain"):
        yield [Cell(workload, 16, 1, "push")] + [Cell(workload, 16, 4, p) for p in ["push", *RIVALS]]
    for workload in ("hot", "cold"):
        yield [Cell(workload, 1, 1, p) for p in ["push", "push-id", *RIVALS, "spin", "futex"]]
    for workload in ("idle", "slow"):
        yield [Cell(workload, 64, 1, p) for p in ["push", "push-id", *RIVALS]]
    sessions = SMOKE_SESSIONS if smoke else SESSIONS
    yield [Cell("registry", sessions, 1, p) for p in ("push", "go-original")]
    yield [Cell("push1", 1, 1, p) for p in ("push", "push-id")]
    for n in BUFFERS:
        peers = ["push", "go-original", "go-channels", "crossbeam", "glib", "zmq", "nng-pub", "nng-pair", "condvar"]
        yield [Cell("memory", n, 1, p) for p in peers]
    yield [Cell("memory", 1_000_000, 1, "push")]


ONCE = {"memory"}  # deterministic: one round is enough
RATES = {"threads", "drain"}  # the more, the better; of all else less is


def count_for(cell, options):
    """The COUNT of a driver; for streams and hot round trips, where to begin with the calibration."""
    smoke = options.smoke
    if cell.workload in ("threads", "drain"):
        return (140 if cell.n >= 1000 else LEAST) if smoke else LEAST
    if cell.workload == "hot":
        return 200 if smoke else 2000
    if cell.workload == "cold":
        return 20 if smoke else 300
    if cell.workload in ("idle", "slow"):
        return 50 if smoke else 1000
    if cell.workload == "push1":
        return 12_800 if smoke else 2_000_000
    if cell.workload == "memory":
        sockets = PEERS[cell.peer][0] in ("zmq", "nng")
        return 200 if sockets or smoke else 20_000
    return 1


class Runner:
    def __init__(self, build, options):
        self.build = build
        self.options = options
        self.values = collections.defaultdict(list)  # (metric, n, pushers, peer) -> values
        self.units = {}
        self.reasons = {}  # the same key -> why there is no value
        self.failures = []
        self.counts = {}
        self.raw = []

    def driver(self, peer):
        return str(self.build / ("bench_" + PEERS[peer][0]))

    def command(self, cell, count):
        line = [self.driver(cell.peer), cell.peer, cell.workload, str(cell.n), str(count)]
        return line + [str(cell.pushers)] if cell.pushers > 1 else line

    def execute(self, line):
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise Failure(f"no end after {PATIENCE} s")
        if done.returncode != 0:
            raise Failure(f"status {done.returncode}: {done.stderr.strip()[-300:]}")
        return done

    def lines(self, cell, count):
        """What a driver printed: a list of (metric, value or None, unit or reason)."""
        found = []
        for line in self.execute(self.command(cell, count)).stdout.splitlines():
            metric, peer, n, value, rest = line.split(None, 4)
            if peer != cell.peer or int(n) != cell.n:
                raise Failure(f"an answer to something else: {line}")
            found.append((metric, None if value == "-" else float(value), rest))
        if not found:
            raise Failure("no answer")
        return found

    def calibrate(self, cell):
        """Fixes the number of messages of a cell for all rounds, so that it takes about STREAM_SECONDS."""
        count = count_for(cell, self.options)
        if self.options.smoke or cell.workload not in ("threads", "drain", "hot"):
            return count
        target = STREAM_SECONDS / 4 if self.options.quick else STREAM_SECONDS
        least = count
        while True:
            answers = {metric: value for metric, value, _ in self.lines(cell, count)}
            value = answers.get(cell.workload)
            if value is None:
                return count
            if cell.workload == "hot":
                seconds = count * value / 1e9
            else:
                seconds = count * cell.n * (1 - answers.get("lost", 0) / 100) / max(value, 1)
            factor = target / max(seconds, 1e-9)
            if factor <= 4 or count >= MOST:
                return min(MOST, max(least, int(count * factor)))
            count = min(MOST, int(count * min(factor, 50)))

    def run(self, cell, number):
        try:
            if cell not in self.counts:
                self.counts[cell] = self.calibrate(cell)
            count = self.counts[cell]
            for metric, value, unit in self.lines(cell, count):
                key = (metric, cell.n, cell.pushers, cell.peer)
                if value is None:
                    self.reasons[key] = unit
                    continue
                self.values[key].append(value)
                self.units[metric] = unit
                self.raw.append((number, metric, cell.peer, cell.n, cell.pushers, count, value, unit))
        except Failure as failure:
            self.fail(cell, failure)

    def fail(self, cell, failure):
        text = f"{cell.workload} {cell.peer} N={cell.n} pushers={cell.pushers}: {failure}"
        self.failures.append(text)
        self.reasons[(cell.workload, cell.n, cell.pushers, cell.peer)] = "failed"
        print("FAILED " + text, flush=True)

    def median(self, metric, n, peer, pushers=1):
        values = self.values.get((metric, n, pushers, peer))
        return statistics.median(values) if values else None

    def best(self, metric, n, peer, pushers=1):
        values = self.values.get((metric, n, pushers, peer))
        return (max if metric in RATES else min)(values) if values else None

    # ---- Counting what happens, rather than timing it ----

    def system_calls(self):
        """Reads and writes of a push-fd stream, less those of the program itself, over the batches it pulled."""
        cell = Cell("drain", 8, 1, "push-fd")
        count = 500 if self.options.smoke else 5000

        def traced(messages):
            line = ["strace", "-f", "-c", "-e", "trace=read,write", "-o", str(self.build / "strace.txt")]
            out = self.execute(line + self.command(cell, messages)).stdout
            calls = {"read": 0, "write": 0}
            for row in (self.build / "strace.txt").read_text().splitlines():
                words = row.split()
                if words and words[-1] in calls:
                    calls[words[-1]] = int(words[3])
            batches = float(re.search(r"^batches \S+ \S+ (\S+)", out, re.M).group(1))
            return calls, batches

        try:
            calls, batches = traced(count)
            alone, first = traced(1)
            for name in calls:
                value = (calls[name] - alone[name]) / (batches - first)
                self.values[("fd-" + name, 8, 1, "push-fd")].append(value)
                self.units["fd-" + name] = "calls a batch"
            self.values[("fd-batch", 8, 1, "push-fd")].append(count * 8 / batches)
        except (Failure, AttributeError, ZeroDivisionError, OSError) as failure:
            self.fail(cell._replace(workload="strace"), failure)

    def instructions(self):
        """Instructions of a push and of a pull, everything they call included: the difference of two runs."""
        cell = Cell("push1", 1, 1, "push")
        counted = {}
        for function in ("push_session_push", "push_client_pull"):
            try:
                totals = []
                for count in (12_800, 25_600):
                    line = ["valgrind", "--tool=callgrind", "--toggle-collect=" + function,
                            "--callgrind-out-file=/dev/null", *self.command(cell, count)]
                    found = re.search(r"Collected : (\d+)", self.execute(line).stderr)
                    if not found:
                        raise Failure("callgrind counted nothing")
                    totals.append(int(found.group(1)))
                counted[function] = (totals[1] - totals[0]) / 12_800
                self.values[("instructions", 1, 1, function)].append(counted[function])
            except (Failure, OSError) as failure:
                self.fail(cell._replace(workload="callgrind " + function), failure)
        return counted


# ---- Targets ------------------------------------------------------------------------------------------------


def figure(value):
    if value is None:
        return "–"
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    if value >= 1e4:
        return f"{value / 1e3:.3g} k"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


class Target:
    """`parts` are (label, value, limit): reached where every value is at least, or at most, its limit."""

    def __init__(self, workload, text, parts, at_least=True, form="{:.2f}x"):
        self.workload, self.text, self.parts = workload, text, parts
        self.at_least, self.form = at_least, form

    def good(self, value, limit):
        return value >= limit if self.at_least else value <= limit

    def measured(self):
        def one(label, value, limit):
            if value is None:
                return f"{label}–"
            text = label + self.form.format(value)
            return text if self.good(value, limit) else f"**{text}**"
        return ", ".join(one(*part) for part in self.parts)

    def verdict(self):
        known = [(value, limit) for _, value, limit in self.parts if value is not None]
        if not known:
            return "not measured"
        if not all(self.good(*part) for part in known):
            return "**no**"
        return "yes" if len(known) == len(self.parts) else "yes, as far as measured"


def targets(run, recorded, med):
    """All targets, by `med`: run.median, or run.best."""

    def ratio(a, b):
        return a / b if a is not None and b else None

    def ahead(metric, n, peer, pushers=1, mine="push"):
        """How far libpush is ahead: rates the one way, times the other."""
        a, b = med(metric, n, mine, pushers), med(metric, n, peer, pushers)
        return ratio(a, b) if metric in RATES else ratio(b, a)

    def over(metric, peer, limits, pushers=1, mine="push"):
        return [(f"N={n}: ", ahead(metric, n, peer, pushers, mine), limit) for n, limit in limits]

    def everybody(metric, n, peers, pushers=1):
        known = [(p + ": ", ahead(metric, n, p, pushers), 1) for p in peers]
        return sorted((part for part in known if part[1] is not None), key=lambda part: part[1])

    def at(ns, limit):
        return [(n, limit) for n in ns]

    text = "streaming to N blocked threads"
    yield Target(text, ">= 8x the Go original", over("threads", "go-original", at(THREADS, 8)))
    for peer in ("crossbeam", "glib", "nng-pub", "nng-pair", "zmq"):
        yield Target(text, f">= 2x {peer}", over("threads", peer, at(THREADS, 2)))
    yield Target(text, ">= 1.5x Go channels; >= 0.8x at 1000",
                 over("threads", "go-channels", [(1, 1.5), (8, 1.5), (64, 1.5), (1000, 0.8)]))
    yield Target(text, ">= 50x the textbook ring", over("threads", "condvar", at((64, 1000), 50)))
    yield Target("the same by id", ">= 0.8x the handle path", over("threads", "push", at(THREADS, 0.8), mine="push-id"))

    text = "one thread draining N clients through a poller"
    yield Target(text, ">= 2x crossbeam", over("drain", "crossbeam", at(DRAIN, 2)))
    yield Target(text, ">= 1.2x Go channels", over("drain", "go-channels", at((8, 64, 1000), 1.2)))
    yield Target(text, ">= 20x an eventfd a client", over("drain", "eventfd", at((10000,), 20)))
    yield Target(text, "a delivery at 10 000 costs <= 2x one at 64",
                 [("", ratio(med("drain", 64, "push"), med("drain", 10000, "push")), 2)], at_least=False)

    for metric, name in (("threads", "threads"), ("drain", "poller")):
        text = f"4 pushers, N = 16, {name}"
        yield Target(text, ">= 0.8x of one pusher",
                     [("", ratio(med(metric, 16, "push", 4), med(metric, 16, "push", 1)), 0.8)])
        yield Target(text, "ahead of every peer", everybody(metric, 16, RIVALS, 4))

    yield Target("round trip, hot", "<= 1/8 of the textbook ring", [("1/", ahead("hot", 1, "condvar"), 8)],
                 form="{:.1f}")
    yield Target("round trip, hot", "ahead of every peer on OS threads", everybody("hot", 1, ON_THREADS))
    yield Target("round trip, cold", "<= 1.1x the textbook ring",
                 [("", ratio(med("cold", 1, "push"), med("cold", 1, "condvar")), 1.1)], at_least=False)

    yield Target("64 blocked threads, idle", "no measurable CPU: <= 0.1 % of a core",
                 [("", ratio(med("idle", 64, "push"), 1e4), 0.1)], at_least=False, form="{:.3f} %")
    yield Target("64 blocked threads, 1000 messages/s", "CPU a delivery <= 1.1x the textbook ring's",
                 [("", ratio(med("slow", 64, "push"), med("slow", 64, "condvar")), 1.1)], at_least=False)

    for metric, limit in (("create", 3), ("find", 3), ("delete", 1)):
        yield Target("registry, 1 000 000 sessions", f"{metric} >= {limit}x the Go original",
                     [("", ahead(metric, SESSIONS, "go-original"), limit)])
    yield Target("registry, 1 000 000 sessions", "look-ups from 2 threads scale >= 1.6x",
                 [("", ratio(med("find", SESSIONS, "push"), med("find2", SESSIONS, "push")), 1.6)])

    yield Target("heap a session with one client, idle", "<= 320 bytes, any `max_buffer`",
                 [(f"{n}: ", med("memory", n, "push"), 320) for n in (*BUFFERS, 1_000_000)],
                 at_least=False, form="{:.0f}")
    yield Target("push, nobody asleep, N = 1", "<= 60 ns with the message's allocation",
                 [("", med("push1", 1, "push"), 60)], at_least=False, form="{:.1f} ns")
    yield Target("instructions of a push and a pull", f"<= {SLACK}x the recorded",
                 [(f"{f}: ", ratio(med("instructions", 1, f), limit), SLACK) for f, limit in recorded.items()],
                 at_least=False)
    # A push that comes in while a pull finds the mailbox empty joins two batches: 1 % for that.
    yield Target("pull_fd in an epoll loop, streaming", "at most 1 write and 1 read a batch (+ 1 %)",
                 [(f"{name} ", med("fd-" + name, 8, "push-fd"), 1.01) for name in ("write", "read")],
                 at_least=False, form="{:.3f}")


# ---- Reports ------------------------------------------------------------------------------------------------

UNIT = {"threads": "deliveries/s", "drain": "deliveries/s", "hot": "ns a round trip", "cold": "ns a round trip",
        "idle": "CPU µs a second", "slow": "CPU ns a delivery", "create": "ns", "find": "ns a look-up, 1 thread",
        "find2": "ns a look-up, 2 threads together", "reads": "ns a look-up", "delete": "ns", "frees": "ns a session",
        "hash": "ns", "lock": "ns", "memory": "bytes", "push1": "ns",
        "pull1": "ns", "malloc": "ns, malloc of 32 bytes alone"}
TITLE = {"threads": "Streaming to N blocked threads", "drain": "One thread draining N clients",
         "hot": "Round trip, hot", "cold": "Round trip, each message after 1 ms of silence",
         "idle": "Idle threads", "slow": "1000 messages a second", "create": "Registry: create",
         "find": "Registry: find", "find2": "Registry: find, two threads", "reads": "Registry: two dependent reads alone", "delete": "Registry: delete", "frees": "Registry: freeing two blocks alone",
         "memory": "Heap a client by max_buffer", "push1": "One push", "pull1": "One pull",
         "malloc": "One allocation", "hash": "SipHash-1-3 of 8 bytes", "lock": "A free mutex, taken and let go"}


def machine():
    model = "unknown processor"
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()} {platform.machine()}"


def cell_text(run, metric, n, pushers, peer):
    values = run.values.get((metric, n, pushers, peer))
    if not values:
        reason = run.reasons.get((metric, n, pushers, peer))
        return f"– ({reason})" if reason else ""
    text = figure(statistics.median(values))
    if len(values) > 1:
        text += f" ({figure(min(values))} – {figure(max(values))})"
    lost = run.values.get(("lost", n, pushers, peer))
    if lost and metric in ("threads", "drain"):
        text += f", {statistics.median(lost):.0f} % lost"
    return text


def figures(run):
    """One table a metric: peers down, N across."""
    for metric, title in TITLE.items():
        keys = [key for key in (*run.values, *run.reasons) if key[0] == metric]
        columns = sorted({(pushers, n) for _, n, pushers, _ in keys})
        if not columns:
            continue
        yield f"\n### {title} ({UNIT[metric]})\n"
        heads = [(f"N = {n}" if pushers == 1 else f"N = {n}, {pushers} pushers") for pushers, n in columns]
        yield "| | " + " | ".join(heads) + " |"
        yield "| --- |" + " --- |" * len(columns)
        for peer in PEERS:
            row = [cell_text(run, metric, n, pushers, peer) for pushers, n in columns]
            if any(row):
                yield f"| {peer} | " + " | ".join(row) + " |"


def floors(run):
    """Bare mechanisms beside what libpush takes: ns, all of this run. No lower bounds: batching goes below them."""
    def per_delivery(metric, n, peer):
        rate = run.median(metric, n, peer)
        return 1e9 / rate if rate else None

    def total(*parts):
        return sum(parts) if all(parts) else None

    rows = [(f"a delivery to N = {n} threads: rings without locks or sleep", per_delivery("threads", n, "spin"),
             per_delivery("threads", n, "push")) for n in THREADS]
    rows += [(f"a delivery drained from N = {n}: rings without locks or sleep, swept", per_delivery("drain", n, "spin"),
              per_delivery("drain", n, "push")) for n in DRAIN]
    rows += [("a pull by id: one by handle, a free mutex",
              total(run.median("pull1", 1, "push"), run.median("lock", 1, "push")),
              run.median("pull1", 1, "push-id"))]
    rows += [("round trip, hot: the cache lines' transfer", run.median("hot", 1, "spin"), run.median("hot", 1, "push")),
             ("round trip, hot: the futex alone", run.median("hot", 1, "futex"), run.median("hot", 1, "push")),
             ("round trip, cold: the futex alone", run.median("cold", 1, "futex"), run.median("cold", 1, "push")),
             ("finding one of 1 000 000 sessions: two dependent reads", run.median("reads", SESSIONS, "push"),
              run.median("find", SESSIONS, "push")),
             ("deleting one: one of those reads, two blocks to free",
              total((run.median("reads", SESSIONS, "push") or 0) / 2, run.median("frees", SESSIONS, "push")),
              run.median("delete", SESSIONS, "push")),
             ("a push: malloc of 32 bytes", run.median("malloc", 1, "push"), run.median("push1", 1, "push"))]
    rows = [row for row in rows if row[1] and row[2]]
    if rows:
        yield "\n| bare mechanism | ns | libpush, ns | libpush / bare |"
        yield "| --- | --- | --- | --- |"
    for text, floor, mine in rows:
        yield f"| {text} | {figure(floor)} | {figure(mine)} | {mine / floor:.2f} |"


def report(run, rows, started, recorded):
    yield "# libpush and its peers\n"
    yield (f"{started:%Y-%m-%d %H:%M} UTC; {machine()}; {run.options.rounds} round"
           f"{'s' if run.options.rounds > 1 else ''}; load {run.load[0]:.2f} before, {run.load[1]:.2f} after. "
           "Ratios are of medians of this run; above 1, libpush is ahead. What misses a limit is in bold. The last "
           "column has the ratios of everybody's best round: on a machine that changes its speed from minute to minute "
           "a median may be of one sort of minutes here, and of another there.\n")
    yield "| workload | target | measured | reached | best of the rounds, each |"
    yield "| --- | --- | --- | --- | --- |"
    for row, best in rows:
        yield f"| {row.workload} | {row.text} | {row.measured()} | {row.verdict()} | {best.measured()} |"
    yield from floors(run)
    batch = run.median("fd-batch", 8, "push-fd")
    counted = [(f, run.median("instructions", 1, f)) for f in ("push_session_push", "push_client_pull")]
    if batch:
        yield f"\nUnder strace a batch of the epoll loop had {batch:.1f} messages."
    for function, value in counted:
        if value:
            was = f"; recorded: {recorded[function]:.0f}" if function in recorded else ""
            yield f"\n`{function}`: {value:.1f} instructions{was}."
    yield "\n## Figures\n\nMedian (least – most)."
    yield from figures(run)
    yield ("\nHeap: of libpush and the Go original, a session with its client, registry included; of the others a bare "
           "queue, channel or socket.")
    yield "\n### Peers\n"
    for peer, (_, note) in PEERS.items():
        yield f"- **{peer}**: {note}"
    if run.failures:
        yield "\n### Failures\n"
        for failure in run.failures:
            yield f"- {failure}"


def plots(run, results):
    """Data and gnuplot scripts beside the pictures, so that they can be drawn anew."""
    script = ["set datafile missing '?'", "set terminal svg size 960,600 dynamic background '#ffffff' font 'sans,13'",
              "set key outside right top", "set grid ytics lc rgb '#dddddd'", "set border 3", "set tics nomirror"]

    colors = dict(zip(PEERS, ["#d62728", "#ff7f7f", "#b04a00", "#1f77b4", "#17a2d4", "#8c564b", "#2ca02c", "#9467bd",
                              "#bcbd22", "#7f7f00", "#e377c2", "#ff7f0e", "#c49a00", "#444444", "#999999", "#666666"]))

    def style(peer):
        mine = peer.startswith("push")
        return (f"lw {3 if mine else 1.5} lc rgb '{colors[peer]}' pt {list(PEERS).index(peer) + 4}"
                + (" dt 2" if peer in ("spin", "futex") else ""))

    def curves(metric, ns, name, title, xlabel, ylabel, peers):
        present = [p for p in peers if any(run.median(metric, n, p) for n in ns)]
        if not present:
            return
        rows = []
        for n in ns:
            row = [str(n)]
            for p in present:
                value = run.median(metric, n, p)
                row.append("?" if value is None else f"{value:.6g}")
            rows.append(" ".join(row))
        (results / f"{name}.dat").write_text("# n " + " ".join(present) + "\n" + "\n".join(rows) + "\n")
        drawn = ", ".join(f"'{name}.dat' using 1:{i + 2} with linespoints {style(p)} title '{p}'"
                          for i, p in enumerate(present))
        script.extend([f"set output '{name}.svg'", f"set title '{title}'", f"set xlabel '{xlabel}' noenhanced",
                       f"set ylabel '{ylabel}'", "set logscale xy", "set format y '10^{%L}'",
                       f"set xrange [{ns[0] * 0.8}:{ns[-1] * 1.25}]", f"plot {drawn}"])

    known = [p for p in PEERS if p != "futex"]
    curves("threads", THREADS, "threads", "Streaming to N threads, each blocked on its own mailbox",
           "clients", "deliveries/s", known)
    curves("drain", DRAIN, "drain", "One thread serving N clients", "clients", "deliveries/s", known)
    curves("memory", BUFFERS, "memory", "Heap of an idle client with its session, queue or channel",
           "max_buffer", "bytes", known)

    trips = [(p, run.median("hot", 1, p), run.median("cold", 1, p)) for p in PEERS]
    trips = [trip for trip in trips if trip[1] and trip[2]]
    if trips:
        rows = [f'"{p}" {hot / 1000:.6g} {cold / 1000:.6g}' for p, hot, cold in trips]
        (results / "round_trip.dat").write_text("# peer hot cold\n" + "\n".join(rows) + "\n")
        script.extend(["set output 'round_trip.svg'", "set title 'Round trip between two threads'", "unset logscale x",
                       "set logscale y", "unset xlabel", "set ylabel 'µs'", "set format y '%g'", "set xrange [*:*]",
                       "set yrange [0.1:*]", "set style data histograms", "set style fill solid 0.9",
                       "set xtics rotate by -40",
                       "plot 'round_trip.dat' using 2:xtic(1) lc rgb '#d62728' title 'kept hot', "
                       "'' using 3 lc rgb '#1f77b4' title 'after 1 ms of silence'"])
    (results / "plots.gp").write_text("\n".join(script) + "\n")
    done = subprocess.run(["gnuplot", "plots.gp"], cwd=results, capture_output=True, text=True)
    if done.returncode != 0:
        run.failures.append("gnuplot: " + done.stderr.strip())


def read_recorded():
    recorded = {}
    if INSTRUCTIONS.exists():
        for line in INSTRUCTIONS.read_text().splitlines():
            if line and not line.startswith("#"):
                function, value = line.split()
                recorded[function] = float(value)
    return recorded


def main():
    parser = argparse.ArgumentParser(prog="tests/bench.sh", description=__doc__.split("\n")[0])
    parser.add_argument("build", type=pathlib.Path)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--smoke", action="store_true", help="one tiny round: everything arrives, nothing is timed")
    how.add_argument("--quick", action="store_true", help="short cells, one round unless --rounds")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--only", default="", metavar="PATTERN", help="cells whose WORKLOAD/N/PUSHERS/PEER matches")
    parser.add_argument("--record", action="store_true", help="record the instruction counts in tests/bench")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.smoke or options.quick else 5)
    if options.rounds < 1:
        parser.error("--rounds must be above 0")

    wanted = re.compile(options.only)
    results = options.build.resolve() / ("smoke" if options.smoke else "results")
    results.mkdir(parents=True, exist_ok=True)
    run = Runner(options.build.resolve(), options)
    started = datetime.datetime.now(datetime.timezone.utc)
    begin = time.monotonic()
    run.load = [os.getloadavg()[0], 0]

    groups = [[c for c in group if wanted.search(f"{c.workload}/{c.n}/{c.pushers}/{c.peer}")] for group in cells(options.smoke)]
    total = sum(map(len, groups))
    for number in range(options.rounds):
        print(f"== round {number + 1} of {options.rounds}: {total} cells", flush=True)
        for group in groups:
            # Nobody always comes first, nor after the same neighbour's heat.
            shift = number % len(group) if group else 0
            for cell in group[shift:] + group[:shift]:
                if number == 0 or cell.workload not in ONCE:
                    run.run(cell, number)
    recorded = read_recorded()
    if wanted.search("strace"):
        run.system_calls()
    if wanted.search("callgrind"):
        counted = run.instructions()
        if options.record and counted:
            head = "# Instructions of one call, everything it calls included; written by tests/bench.sh --record.\n"
            INSTRUCTIONS.write_text(head + "".join(f"{f} {v:.1f}\n" for f, v in counted.items()))
            recorded = read_recorded()
        if options.smoke:
            for function, value in counted.items():
                if value > SMOKE_SLACK * recorded.get(function, value):
                    run.failures.append(f"{function}: {value:.1f} instructions, recorded {recorded[function]:.1f}")
    run.load[1] = os.getloadavg()[0]

    columns = "round metric peer n pushers count value unit".split()
    (results / "raw.tsv").write_text("\n".join("\t".join(map(str, row)) for row in [columns, *run.raw]) + "\n")
    rows = [row for row in zip(targets(run, recorded, run.median), targets(run, recorded, run.best))
            if row[0].verdict() != "not measured"]
    plots(run, results)
    text = "\n".join(report(run, rows, started, recorded)) + "\n"
    (results / "results.md").write_text(text)
    if not options.smoke:
        print(text.split("\n## Figures")[0])
        print(f"== {results}/results.md, *.svg")
    for failure in run.failures:
        print("FAILED " + failure)
    print(f"== {total} cells, {len(run.failures)} failed, {time.monotonic() - begin:.0f} s")
    return 0 if run.values and not run.failures else 1


if __name__ == "__main__":
    sys.exit(main())
