// SPDX-License-Identifier: MIT

// The driver of the peers in Go: bench_go PEER WORKLOAD N COUNT [PUSHERS], with the workloads, the checks and the
// output of bench.c. Receivers are goroutines; there is no thread that serves several of them, so that `drain`
// has a goroutine for each, too.
package main

import (
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	capacity   = 128
	silence    = time.Millisecond
	maxPushers = 8
)

type payload struct {
	seq, tag uint64
}

// A group is one pusher's side and the mailboxes of its receivers.
type group interface {
	push(p payload)
	pull(receiver int) payload
}

var peers = map[string]func(receivers, capacity int) group{
	"go-original": newOriginal,
	"go-channels": newChannels,
}

func die(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

type bench struct {
	peer     string
	open     func(receivers, capacity int) group
	workload string
	n        int
	count    int
	pushers  int
}

func (b *bench) result(workload string, value float64, unit string) {
	fmt.Printf("%s %s %d %.6g %s\n", workload, b.peer, b.n, value, unit)
}

func perUnit(total time.Duration, count int) float64 {
	return float64(total.Nanoseconds()) / float64(count)
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		die("getrusage: %v", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What one receiver has seen; ends the program where a message is missing, doubled, torn or out of order.
type receiver struct {
	next     [maxPushers]uint64
	received int
}

func (r *receiver) receive(p payload) {
	if p.tag >= maxPushers || p.seq != r.next[p.tag] {
		die("pusher %d: message %d is not the one that was due", p.tag, p.seq)
	}
	r.next[p.tag]++
	r.received++
}

type outcome struct {
	elapsed, cpu, idle time.Duration
	total              int
}

func (b *bench) stream(gap, quiet time.Duration) outcome {
	g := b.open(b.n, capacity)
	each := b.count / b.pushers
	var out outcome
	var waiting, received int64
	var receivers, pushers sync.WaitGroup
	receivers.Add(b.n)
	pushers.Add(b.pushers)
	for i := 0; i < b.n; i++ {
		go func(i int) {
			var r receiver
			atomic.AddInt64(&waiting, 1)
			for r.received < each*b.pushers {
				r.receive(g.pull(i))
			}
			atomic.AddInt64(&received, int64(r.received))
			receivers.Done()
		}(i)
	}
	start := make(chan struct{})
	for i := 0; i < b.pushers; i++ {
		go func(i int) {
			<-start
			due := time.Now()
			for seq := 0; seq < each; seq++ {
				if gap > 0 {
					due = due.Add(gap)
					time.Sleep(time.Until(due))
				}
				g.push(payload{uint64(seq), uint64(i)})
			}
			pushers.Done()
		}(i)
	}
	for atomic.LoadInt64(&waiting) < int64(b.n) {
		time.Sleep(silence)
	}
	if quiet > 0 {
		time.Sleep(quiet / 4)
		out.idle = cpu()
		time.Sleep(quiet)
		out.idle = cpu() - out.idle
	}
	used, begin := cpu(), time.Now()
	close(start)
	pushers.Wait()
	receivers.Wait()
	out.elapsed, out.cpu, out.total = time.Since(begin), cpu()-used, int(received)
	return out
}

func (b *bench) trip(quiet time.Duration) {
	ping, pong := b.open(1, capacity), b.open(1, capacity)
	there, back := make([]time.Duration, b.count), make([]time.Duration, b.count)
	epoch := time.Now()
	push := func(g group, i int) {
		p := payload{seq: uint64(i)}
		if quiet > 0 {
			time.Sleep(quiet)
			p.tag = uint64(time.Since(epoch))
		}
		g.push(p)
	}
	pull := func(g group, i int) time.Duration {
		p := g.pull(0)
		if p.seq != uint64(i) {
			die("round trip: message %d where %d was due", p.seq, i)
		}
		if quiet > 0 {
			return time.Since(epoch) - time.Duration(p.tag)
		}
		return 0
	}
	done := make(chan struct{})
	go func() {
		for i := 0; i < b.count; i++ {
			there[i] = pull(ping, i)
			push(pong, i)
		}
		close(done)
	}()
	begin := time.Now()
	for i := 0; i < b.count; i++ {
		push(ping, i)
		back[i] = pull(pong, i)
	}
	elapsed := time.Since(begin)
	<-done
	if quiet == 0 {
		b.result(b.workload, perUnit(elapsed, b.count), "ns")
		return
	}
	for i := range there {
		there[i] += back[i]
	}
	sort.Slice(there, func(i, j int) bool { return there[i] < there[j] })
	b.result(b.workload, float64(there[b.count/2]), "ns")
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func sessionIDs(count int) []interface{} {
	ids := make([]interface{}, count)
	for i := range ids {
		ids[i] = fmt.Sprintf("user-%09d", i)
	}
	return ids
}

// Copies in random order: an id comes fresh from a request, and is in the cache.
func shuffled(ids []interface{}, seed int64) []interface{} {
	copies := make([]interface{}, len(ids))
	for i, from := range rand.New(rand.NewSource(seed)).Perm(len(ids)) {
		copies[i] = string([]byte(ids[from].(string)))
	}
	return copies
}

// COUNT sessions of one client with room for N messages.
func (b *bench) memory() {
	if b.peer == "go-original" {
		ids := sessionIDs(b.count)
		before := heap()
		for _, id := range ids {
			NewSession(id, "phone", b.n)
		}
		b.result("memory", (heap()-before)/float64(b.count), "bytes")
		runtime.KeepAlive(ids)
		return
	}
	kept := make([]group, b.count)
	before := heap()
	for i := range kept {
		kept[i] = b.open(1, b.n)
	}
	b.result("memory", (heap()-before)/float64(b.count), "bytes")
	runtime.KeepAlive(kept)
}

// N sessions of one client: created, found in random order by one and by two threads, deleted.
func (b *bench) registry() {
	ids := sessionIDs(b.n)
	begin := time.Now()
	for _, id := range ids {
		NewSession(id, "phone", 10)
	}
	b.result("create", perUnit(time.Since(begin), b.n), "ns")

	for threads, name := range []string{"find", "find2"} {
		threads++
		wanted := make([][]interface{}, threads)
		for i := range wanted {
			wanted[i] = shuffled(ids, int64(i+1))
		}
		var wait sync.WaitGroup
		wait.Add(threads)
		begin = time.Now()
		for _, ids := range wanted {
			go func(ids []interface{}) {
				for _, id := range ids {
					if s := FindSession(id); s == nil || s.id != id {
						die("session %v is not there", id)
					}
				}
				wait.Done()
			}(ids)
		}
		wait.Wait()
		b.result(name, perUnit(time.Since(begin), b.n*threads), "ns")
	}

	begin = time.Now()
	for _, id := range ids {
		DeleteSession(id)
	}
	b.result("delete", perUnit(time.Since(begin), b.n), "ns")
	if len(registry) != 0 {
		die("%d sessions are left", len(registry))
	}
}

func (b *bench) run() {
	switch b.workload {
	case "threads", "drain":
		o := b.stream(0, 0)
		b.result(b.workload, float64(o.total)/o.elapsed.Seconds(), "deliveries/s")
	case "idle":
		quiet := time.Duration(b.count) * silence
		b.count = 1
		b.result("idle", b.stream(0, quiet).idle.Seconds()*1e6/quiet.Seconds(), "us/s")
	case "slow":
		o := b.stream(silence, silence)
		b.result("slow", perUnit(o.cpu, o.total), "ns")
	case "hot":
		b.trip(0)
	case "cold":
		b.trip(silence)
	case "memory":
		b.memory()
	case "registry":
		if b.peer != "go-original" {
			fmt.Printf("registry %s %d - no registry\n", b.peer, b.n)
			return
		}
		b.registry()
	default:
		die("no workload %s", b.workload)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		die("not a number above 0: %s", text)
	}
	return n
}

func main() {
	args := os.Args
	if len(args) < 5 || len(args) > 6 {
		die("usage: %s PEER WORKLOAD N COUNT [PUSHERS]", args[0])
	}
	b := bench{peer: args[1], open: peers[args[1]], workload: args[2], n: number(args[3]), count: number(args[4]),
		pushers: 1}
	if b.open == nil {
		die("no peer %s here", b.peer)
	}
	if len(args) > 5 {
		b.pushers = number(args[5])
	}
	if b.pushers > maxPushers || b.count < b.pushers {
		die("at most %d pushers, with a message each", maxPushers)
	}
	b.run()
}
