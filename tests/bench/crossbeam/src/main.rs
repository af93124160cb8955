// SPDX-License-Identifier: MIT

//! The driver of crossbeam-channel: bench_crossbeam crossbeam WORKLOAD N COUNT [PUSHERS], with the workloads, the
//! checks and the output of bench.c. A bounded channel of Arc<Payload> for each receiver, and a loop over them.
//! `drain` sweeps over all receivers with try_recv, and backs off after a sweep that found nothing.

use crossbeam_channel::{bounded, Receiver, Sender};
use crossbeam_utils::Backoff;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, sleep, JoinHandle};
use std::time::{Duration, Instant};

const CAPACITY: usize = 128;
const SILENCE: Duration = Duration::from_millis(1);
const MAX_PUSHERS: usize = 8;
const STACK: usize = 128 * 1024;

#[derive(Clone, Copy)]
struct Payload {
    seq: u64,
    tag: u64,
}

fn die(message: String) -> ! {
    eprintln!("{}", message);
    std::process::exit(1)
}

/// The system's own figures, by the C library that every Rust program is linked with.
mod system {
    #[repr(C)]
    #[derive(Default)]
    struct Rusage {
        utime: [i64; 2],
        stime: [i64; 2],
        rest: [i64; 14],
    }

    #[repr(C)]
    struct Mallinfo2 {
        arena: usize,
        ordblks: usize,
        smblks: usize,
        hblks: usize,
        hblkhd: usize,
        usmblks: usize,
        fsmblks: usize,
        uordblks: usize,
        fordblks: usize,
        keepcost: usize,
    }

    extern "C" {
        fn getrusage(who: i32, usage: *mut Rusage) -> i32;
        fn mallinfo2() -> Mallinfo2;
    }

    /// Nanoseconds of CPU time of this process.
    pub fn cpu() -> f64 {
        let mut u = Rusage::default();
        if unsafe { getrusage(0, &mut u) } != 0 {
            super::die("getrusage".to_string());
        }
        (u.utime[0] + u.stime[0]) as f64 * 1e9 + (u.utime[1] + u.stime[1]) as f64 * 1e3
    }

    /// Bytes allocated by malloc in this process.
    pub fn heap() -> f64 {
        let m = unsafe { mallinfo2() };
        (m.uordblks + m.hblkhd) as f64
    }
}

struct Pusher {
    queues: Vec<Sender<Arc<Payload>>>,
}

impl Pusher {
    fn push(&self, payload: Payload) {
        let message = Arc::new(payload);
        for queue in &self.queues {
            queue.send(message.clone()).unwrap();
        }
    }
}

fn group(receivers: usize, capacity: usize) -> (Pusher, Vec<Receiver<Arc<Payload>>>) {
    let (queues, ends) = (0..receivers).map(|_| bounded(capacity)).unzip();
    (Pusher { queues }, ends)
}

/// What one receiver has seen; ends the program where a message is missing, doubled, torn or out of order.
#[derive(Clone, Default)]
struct Seen {
    next: [u64; MAX_PUSHERS],
    received: usize,
}

impl Seen {
    fn receive(&mut self, p: &Payload) {
        let pusher = p.tag as usize;
        if pusher >= MAX_PUSHERS || p.seq != self.next[pusher] {
            die(format!("pusher {}: message {} is not the one that was due", p.tag, p.seq));
        }
        self.next[pusher] += 1;
        self.received += 1;
    }
}

fn spawn<F: FnOnce() + Send + 'static>(run: F) -> JoinHandle<()> {
    thread::Builder::new().stack_size(STACK).spawn(run).unwrap()
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

struct Bench {
    workload: String,
    n: usize,
    count: usize,
    pushers: usize,
}

#[derive(Default)]
struct Outcome {
    elapsed: f64,
    cpu: f64,
    idle: f64,
    total: f64,
}

impl Bench {
    fn result(&self, value: f64, unit: &str) {
        println!("{} crossbeam {} {} {}", self.workload, self.n, value, unit);
    }

    fn stream(&self, drain: bool, gap: Option<Duration>, quiet: Option<Duration>) -> Outcome {
        let each = self.count / self.pushers;
        let want = each * self.pushers;
        let (pusher, ends) = group(self.n, CAPACITY);
        let pusher = Arc::new(pusher);
        let waiting = Arc::new(AtomicUsize::new(0));
        let total = Arc::new(AtomicU64::new(0));
        let start = Arc::new(Barrier::new(self.pushers + 1));

        let mut receivers = Vec::new();
        if drain {
            let (waiting, total) = (waiting.clone(), total.clone());
            receivers.push(spawn(move || {
                let mut seen = vec![Seen::default(); ends.len()];
                let mut open = ends.len();
                waiting.fetch_add(1, Ordering::SeqCst);
                let backoff = Backoff::new();
                while open > 0 {
                    let mut found = false;
                    for (end, seen) in ends.iter().zip(seen.iter_mut()) {
                        while let Ok(message) = end.try_recv() {
                            found = true;
                            seen.receive(&message);
                            if seen.received == want {
                                open -= 1;
                            }
                        }
                    }
                    if found {
                        backoff.reset();
                    } else {
                        backoff.snooze();
                    }
                }
                let sum: usize = seen.iter().map(|s| s.received).sum();
                total.fetch_add(sum as u64, Ordering::SeqCst);
            }));
        } else {
            for end in ends {
                let (waiting, total) = (waiting.clone(), total.clone());
                receivers.push(spawn(move || {
                    let mut seen = Seen::default();
                    waiting.fetch_add(1, Ordering::SeqCst);
                    while seen.received < want {
                        seen.receive(&end.recv().unwrap());
                    }
                    total.fetch_add(seen.received as u64, Ordering::SeqCst);
                }));
            }
        }
        let ready = receivers.len();

        let pushers: Vec<_> = (0..self.pushers)
            .map(|tag| {
                let (pusher, start) = (pusher.clone(), start.clone());
                spawn(move || {
                    start.wait();
                    let mut due = Instant::now();
                    for seq in 0..each {
                        if let Some(gap) = gap {
                            due += gap;
                            sleep(due.saturating_duration_since(Instant::now()));
                        }
                        pusher.push(Payload { seq: seq as u64, tag: tag as u64 });
                    }
                })
            })
            .collect();

        while waiting.load(Ordering::SeqCst) < ready {
            sleep(SILENCE);
        }
        let mut out = Outcome::default();
        if let Some(quiet) = quiet {
            sleep(quiet / 4);
            let before = system::cpu();
            sleep(quiet);
            out.idle = system::cpu() - before;
        }
        let (cpu, begin) = (system::cpu(), Instant::now());
        start.wait();
        join(pushers);
        join(receivers);
        out.elapsed = begin.elapsed().as_secs_f64();
        out.cpu = system::cpu() - cpu;
        out.total = total.load(Ordering::SeqCst) as f64;
        out
    }

    fn trip(&self, quiet: Option<Duration>) {
        let (ping, ping_end) = group(1, CAPACITY);
        let (pong, pong_end) = group(1, CAPACITY);
        let epoch = Instant::now();
        let now = move || epoch.elapsed().as_nanos() as u64;
        let push = move |to: &Pusher, i: usize| {
            let mut payload = Payload { seq: i as u64, tag: 0 };
            if let Some(quiet) = quiet {
                sleep(quiet);
                payload.tag = now();
            }
            to.push(payload);
        };
        let pull = move |from: &Receiver<Arc<Payload>>, i: usize| -> u64 {
            let p = from.recv().unwrap();
            if p.seq != i as u64 {
                die(format!("round trip: message {} where {} was due", p.seq, i));
            }
            quiet.map_or(0, |_| now() - p.tag)
        };
        let count = self.count;
        let echo = thread::spawn(move || {
            (0..count)
                .map(|i| {
                    let there = pull(&ping_end[0], i);
                    push(&pong, i);
                    there
                })
                .collect::<Vec<u64>>()
        });
        let begin = Instant::now();
        let back: Vec<u64> = (0..count)
            .map(|i| {
                push(&ping, i);
                pull(&pong_end[0], i)
            })
            .collect();
        let elapsed = begin.elapsed().as_nanos() as f64;
        let there = echo.join().unwrap();
        if quiet.is_none() {
            return self.result(elapsed / count as f64, "ns");
        }
        let mut both: Vec<u64> = there.iter().zip(&back).map(|(a, b)| a + b).collect();
        both.sort_unstable();
        self.result(both[count / 2] as f64, "ns");
    }

    fn memory(&self) {
        let mut kept = Vec::with_capacity(self.count);
        let before = system::heap();
        for _ in 0..self.count {
            kept.push(group(1, self.n));
        }
        self.result((system::heap() - before) / self.count as f64, "bytes");
    }

    fn run(&mut self) {
        match self.workload.as_str() {
            "threads" | "drain" => {
                let o = self.stream(self.workload == "drain", None, None);
                self.result(o.total / o.elapsed, "deliveries/s");
            }
            "idle" => {
                let quiet = SILENCE * self.count as u32;
                self.count = 1;
                let o = self.stream(false, None, Some(quiet));
                self.result(o.idle / 1e3 / quiet.as_secs_f64(), "us/s");
            }
            "slow" => {
                let o = self.stream(false, Some(SILENCE), Some(SILENCE));
                self.result(o.cpu / o.total, "ns");
            }
            "hot" => self.trip(None),
            "cold" => self.trip(Some(SILENCE)),
            "memory" => self.memory(),
            other => die(format!("no workload {}", other)),
        }
    }
}

fn number(text: &str) -> usize {
    match text.parse() {
        Ok(n) if n > 0 => n,
        _ => die(format!("not a number above 0: {}", text)),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() < 5 || args.len() > 6 || args[1] != "crossbeam" {
        die(format!("usage: {} crossbeam WORKLOAD N COUNT [PUSHERS]", args[0]));
    }
    let mut bench = Bench {
        workload: args[2].clone(),
        n: number(&args[3]),
        count: number(&args[4]),
        pushers: args.get(5).map_or(1, |text| number(text)),
    };
    if bench.pushers > MAX_PUSHERS || bench.count < bench.pushers {
        die(format!("at most {} pushers, with a message each", MAX_PUSHERS));
    }
    bench.run();
}
