#!/usr/bin/env python3
"""Plants the faults of mutations.txt, one at a time, in copies of the sources, and sees that each is caught.

planted.py WORK --sample N | --all | --only NAME... | --hunt [NAME]

For each fault the text is replaced, the program that `by` names is built and run: it must fail, though the same
program passed with the sources as they are. A fault that survives, whose text is not there exactly once, or that does
not compile, is a failure. Two copies of the tree in WORK, a worker each, are built from incrementally.

--hunt runs everything there is against faults that do not name a program yet, or against NAME, and tells who catches
them, in how many seconds: that is how `by` is filled in.
"""
import argparse
import collections
import concurrent.futures
import os
import queue
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
COPIED = ["CMakeLists.txt", "include", "src", "tests"]

# Warnings are for the sources as they are.
COMMON = ["-DPUSH_BUILD_TESTS=ON", "-DPUSH_BUILD_EXAMPLES=OFF", "-DPUSH_INSTALL=OFF", "-DCMAKE_BUILD_TYPE=None"]
BUILDS = {
    "plain": ["-DCMAKE_C_COMPILER=gcc", "-DCMAKE_C_FLAGS=-O1 -g -w"],
    "address": ["-DCMAKE_C_COMPILER=gcc", "-DCMAKE_C_FLAGS=-O1 -g -w", "-DPUSH_SANITIZE=address,undefined"],
    "thread": ["-DCMAKE_C_COMPILER=gcc", "-DCMAKE_C_FLAGS=-O1 -g -w", "-DPUSH_SANITIZE=thread"],
}
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:allocator_may_return_null=1",
}

# A program that takes this many times what it takes without the fault, and longer than the floor, does not end.
NO_END = "no end"
PATIENCE = 5
PATIENCE_FLOOR = 10


class Fault:
    def __init__(self, name):
        self.name = name
        self.file = None
        self.by = None
        self.replacements = []  # [taken, brought]


class Broken(Exception):
    """The fault cannot be tried as the list has it."""


def read_list(path):
    faults = []
    open_replacement = False
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if line.startswith("name: "):
                faults.append(Fault(line[6:]))
                open_replacement = False
                continue
            fault = faults[-1]
            if line.startswith("file: "):
                fault.file = line[6:]
            elif line.startswith("by: "):
                fault.by = line[4:].split()
            elif line.startswith("- "):
                if not open_replacement:
                    fault.replacements.append([[], []])
                    open_replacement = True
                fault.replacements[-1][0].append(line[2:])
            elif line == "+" or line.startswith("+ "):
                if line != "+":
                    fault.replacements[-1][1].append(line[2:])
                open_replacement = False
            else:
                sys.exit(f"{path}:{number}: what is this?")
    names = collections.Counter(fault.name for fault in faults)
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        sys.exit(f"{path}: two faults of the name {twice[0]}")
    return faults


def plant(text, fault):
    for taken, brought in fault.replacements:
        old, new = "\n".join(taken), "\n".join(brought)
        if text.count(old) != 1:
            raise Broken(f"this text is {text.count(old)} times in {fault.file}, not once:\n{old}")
        text = text.replace(old, new)
    return text


class Tree:
    """A copy of the checkout, and the builds of it."""

    def __init__(self, path):
        self.path = path
        self.configured = set()
        shutil.rmtree(os.path.join(path, "tree"), ignore_errors=True)
        for name in COPIED:
            source, copy = os.path.join(ROOT, name), os.path.join(path, "tree", name)
            if os.path.isdir(source):
                shutil.copytree(source, copy)
            else:
                os.makedirs(os.path.dirname(copy), exist_ok=True)
                shutil.copy2(source, copy)

    def build(self, build, target):
        directory = os.path.join(self.path, build)
        if build not in self.configured:
            shutil.rmtree(directory, ignore_errors=True)
            run = subprocess.run(
                ["cmake", "-S", os.path.join(self.path, "tree"), "-B", directory, *COMMON, *BUILDS[build]],
                capture_output=True, text=True, check=False)
            if run.returncode != 0:
                sys.exit(run.stdout + run.stderr)
            self.configured.add(build)
        run = subprocess.run(["cmake", "--build", directory, "--target", target], capture_output=True, text=True,
                             check=False)
        if run.returncode != 0:
            errors = [line for line in (run.stdout + run.stderr).splitlines() if "rror" in line]
            raise Broken("it does not compile:\n" + "\n".join(errors[:5]))

    def run(self, build, program, arguments, seconds, environment=None):
        """None where it passed; else what it said last, or that it did not end. And how long it took."""
        folder = "tests/explore" if program == "explore" else "tests"
        command = [*NO_ASLR, os.path.join(self.path, build, folder, program), *arguments]
        started = time.monotonic()
        child = subprocess.Popen(command, env={**os.environ, **ENVIRONMENT, **(environment or {})},
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 start_new_session=True)
        try:
            output = child.communicate(timeout=seconds)[0].decode(errors="replace")
            said = None if child.returncode == 0 else output or f"status {child.returncode}"
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            said = f"{NO_END} after {seconds:.0f} s"
        return said, time.monotonic() - started


class planted:
    """The tree with the fault in it."""

    def __init__(self, tree, fault):
        self.path = os.path.join(tree.path, "tree", fault.file)
        with open(self.path, encoding="utf-8") as file:
            self.text = file.read()
        self.mutated = plant(self.text, fault)

    def write(self, text):
        # A new time of change each: make compares nothing else.
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)

    def __enter__(self):
        self.write(self.mutated)

    def __exit__(self, *exception):
        self.write(self.text)


class Gate:
    def __init__(self, work, workers):
        self.trees = queue.Queue()
        for i in range(workers):
            self.trees.put(Tree(os.path.join(work, str(i))))
        self.pool = concurrent.futures.ThreadPoolExecutor(workers)
        self.seconds = {}  # by program: how long it takes without a fault

    def with_tree(self, function, item):
        tree = self.trees.get()
        try:
            return function(tree, item)
        finally:
            self.trees.put(tree)

    def each(self, function, items):
        jobs = [self.pool.submit(self.with_tree, function, item) for item in items]
        for item, job in zip(items, jobs):
            yield item, job.result()

    def control(self, tree, by):
        """The program must pass without a fault, or its failing means nothing."""
        build, program, *arguments = by
        tree.build(build, program)
        said, self.seconds[by] = tree.run(build, program, arguments, 600)
        return said

    def attempt(self, tree, fault):
        """(whether it was caught, what was said, seconds)"""
        build, program, *arguments = fault.by
        started = time.monotonic()
        try:
            with planted(tree, fault):
                tree.build(build, program)
                patience = max(PATIENCE_FLOOR, PATIENCE * self.seconds[tuple(fault.by)])
                said, _ = tree.run(build, program, arguments, patience)
        except Broken as broken:
            return False, str(broken), time.monotonic() - started
        return said is not None, said or "it survives: a hole in the tests", time.monotonic() - started


# ---- Looking for who catches a fault ----

SHORT = ["test_args", "test_id", "test_map", "test_ring", "test_siphash", "test_waker", "test_waker_pipe", "test_msg",
         "test_readyset", "test_fd", "test_poller", "test_session", "test_client", "test_failure", "test_overflow",
         "test_sync", "test_mailbox", "test_cancel"]
LONG = ["test_frozen", "test_process", "test_registry", "test_threads"]


def hunters(fault):
    own = "test_" + os.path.basename(fault.file).split(".")[0].split("_")[0]
    first = [("plain", own)] if own in SHORT + LONG else []
    yield from first
    yield "plain", "explore", 1
    for name in SHORT + LONG:
        if ("plain", name) not in first:
            yield "plain", name
    yield "plain", "explore", 2
    for build in ["thread", "address"]:
        for name in LONG + SHORT:
            yield build, name


def hunt(tree, fault):
    try:
        with planted(tree, fault):
            for build, program, *preemptions in hunters(fault):
                tree.build(build, program)
                environment = {"EXPLORE_PREEMPTIONS": str(preemptions[0])} if preemptions else {}
                said, seconds = tree.run(build, program, [], 60 if program != "explore" else 300, environment)
                if said is not None:
                    scenario = [line.split(": ")[1] for line in said.splitlines() if line.startswith("explore: ")]
                    return f"{build} {program} {scenario[0] if scenario else ''}".strip(), seconds, said
    except Broken as broken:
        return None, 0, str(broken)
    return None, 0, "it survives"


# ---- The program ----

def no_aslr():
    """The thread sanitizer's memory layout allows for 28 random bits of the addresses that mmap gives."""
    try:
        with open("/proc/sys/vm/mmap_rnd_bits", encoding="ascii") as file:
            many = int(file.read()) > 28
    except OSError:
        return []
    command = ["setarch", os.uname().machine, "-R"]
    works = many and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return command if works else []


NO_ASLR = no_aslr()


def choose(faults, arguments):
    if arguments.only:
        unknown = set(arguments.only) - {fault.name for fault in faults}
        if unknown:
            sys.exit(f"no fault of the name {unknown.pop()}")
        return [fault for fault in faults if fault.name in arguments.only]
    if arguments.sample:
        seed = os.environ.get("PUSH_PLANTED_SEED") or str(random.SystemRandom().randrange(1 << 32))
        print(f"seed: PUSH_PLANTED_SEED={seed}", flush=True)
        chosen = set(random.Random(seed).sample(range(len(faults)), min(arguments.sample, len(faults))))
        return [fault for i, fault in enumerate(faults) if i in chosen]
    return faults


def layer(by):
    build, program = by[:2]
    return program if build == "plain" else f"{program}, {build} sanitizer"


def last_lines(text, count=12):
    return "\n".join("    " + line for line in text.strip().splitlines()[-count:])


def gate(arguments, faults):
    nameless = [fault for fault in faults if not fault.by or not fault.file or not fault.replacements]
    for fault in nameless:
        print(f"FAILED  {fault.name}: the list does not say where, what or who", flush=True)
    faults = [fault for fault in faults if fault not in nameless]
    runner = Gate(arguments.work, arguments.workers)
    failed = len(nameless)
    bad = set()
    for by, said in runner.each(runner.control, sorted({tuple(fault.by) for fault in faults})):
        if said is not None:
            print(f"FAILED  {' '.join(by)} without any fault:\n{last_lines(said)}", flush=True)
            failed += 1
            bad.add(by)
    caught = collections.Counter()
    endless = 0
    tried = [fault for fault in faults if tuple(fault.by) not in bad]
    failed += len(faults) - len(tried)
    for fault, (is_caught, said, seconds) in runner.each(runner.attempt, tried):
        if is_caught:
            caught[layer(fault.by)] += 1
            endless += said.startswith(NO_END)
            print(f"caught  {seconds:5.1f} s  {fault.name} ({fault.file}): {' '.join(fault.by)}", flush=True)
        else:
            failed += 1
            print(f"FAILED  {fault.name} ({fault.file}): {' '.join(fault.by)}: {said}\n"
                  f"    again: sh tests/planted/run.sh --only {shlex.quote(fault.name)}", flush=True)
    passed = sum(caught.values())
    print(f"figure: {len(faults) + len(nameless)} faults planted, {passed} caught, {endless} of them by a program"
          " that did not end")
    for name, count in caught.most_common():
        print(f"figure: {count} caught by {name}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 and passed > 0 else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--all", action="store_true")
    which.add_argument("--sample", type=int)
    which.add_argument("--only", nargs="+")
    which.add_argument("--hunt", nargs="?", const="")
    arguments = parser.parse_args()
    faults = read_list(os.path.join(HERE, "mutations.txt"))
    if arguments.hunt is None:
        return gate(arguments, choose(faults, arguments))
    wanted = [fault for fault in faults if (fault.name == arguments.hunt if arguments.hunt else not fault.by)]
    runner = Gate(arguments.work, arguments.workers)
    for fault, (by, seconds, said) in runner.each(hunt, wanted):
        print(f"name: {fault.name}\nby: {by}\n{seconds:.1f} s\n{last_lines(said, 4)}", flush=True)
    return 0


sys.exit(main())
