// SPDX-License-Identifier: MIT

package main

import "encoding/binary"

// Plain Go channels: a channel of slices for each receiver, and a loop over them. Each message is a fresh slice.
type channels struct {
	queues []chan []byte
}

func newChannels(receivers, capacity int) group {
	g := &channels{queues: make([]chan []byte, receivers)}
	for i := range g.queues {
		g.queues[i] = make(chan []byte, capacity)
	}
	return g
}

func (g *channels) push(p payload) {
	message := make([]byte, 16)
	binary.LittleEndian.PutUint64(message, p.seq)
	binary.LittleEndian.PutUint64(message[8:], p.tag)
	for _, queue := range g.queues {
		queue <- message
	}
}

func (g *channels) pull(receiver int) payload {
	message := <-g.queues[receiver]
	return payload{binary.LittleEndian.Uint64(message), binary.LittleEndian.Uint64(message[8:])}
}
