// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"sync"
)

// The design of the Go package that libpush is a port of, written from its description: a registry of sessions, a
// map of channels in each session, and a Push that starts a goroutine for each client and waits for all of them.

var (
	registryLock sync.RWMutex
	registry     = map[interface{}]*Session{}
)

var errNoClient = errors.New("no such client")

type Session struct {
	id      interface{}
	clients map[interface{}]chan interface{}
}

// NewSession finds or creates the session, and its client unless that is nil.
func NewSession(session, client interface{}, maxBuffer int) *Session {
	registryLock.Lock()
	defer registryLock.Unlock()
	s, found := registry[session]
	if !found {
		s = &Session{id: session, clients: map[interface{}]chan interface{}{}}
		registry[session] = s
	}
	if client != nil {
		if _, found := s.clients[client]; !found {
			s.clients[client] = make(chan interface{}, maxBuffer)
		}
	}
	return s
}

func FindSession(session interface{}) *Session {
	registryLock.RLock()
	defer registryLock.RUnlock()
	return registry[session]
}

func DeleteSession(session interface{}) {
	registryLock.Lock()
	defer registryLock.Unlock()
	delete(registry, session)
}

// Push returns when the last client has taken the message into its buffer.
func (s *Session) Push(message interface{}) {
	var wait sync.WaitGroup
	wait.Add(len(s.clients))
	for _, queue := range s.clients {
		go func(queue chan interface{}) {
			queue <- message
			wait.Done()
		}(queue)
	}
	wait.Wait()
}

func (s *Session) Pull(client interface{}) (interface{}, error) {
	queue, found := s.clients[client]
	if !found {
		return nil, errNoClient
	}
	return <-queue, nil
}

// The group pushes pointers rather than slices: a slice in an interface would be a second allocation a message.
type original struct {
	session *Session
}

var groups int

func newOriginal(receivers, capacity int) group {
	groups++
	var s *Session
	for i := 0; i < receivers; i++ {
		s = NewSession(groups, i, capacity)
	}
	return &original{s}
}

func (g *original) push(p payload) {
	message := p
	g.session.Push(&message)
}

func (g *original) pull(receiver int) payload {
	message, err := g.session.Pull(receiver)
	if err != nil {
		die("pull: %v", err)
	}
	return *message.(*payload)
}
