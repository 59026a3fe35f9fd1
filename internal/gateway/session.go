package gateway

import (
	"container/list"
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"
)

const (
	// maxSessions bounds the legacy sessions at a time; the one unused longest
	// gives way. Its client opens another when it finds out.
	maxSessions = 10_000

	// sessionIdle is how long a session may be unused.
	sessionIdle = time.Hour
)

// sessions are those of legacy clients. A session keeps little: what was agreed
// on, and which requests could be cancelled.
type sessions struct {
	mu   sync.Mutex
	byID map[string]*list.Element
	used *list.List // of *session, the one unused longest in front
	now  func() time.Time
}

type session struct {
	id       string
	revision string
	last     time.Time // guarded by sessions.mu

	mu     sync.Mutex
	level  string                             // of log messages, as logging/setLevel said
	atWork map[string]context.CancelCauseFunc // requests by their id
}

func newSessions() *sessions {
	return &sessions{byID: map[string]*list.Element{}, used: list.New(), now: time.Now}
}

// open makes a session. Its id cannot be guessed, but it admits nobody.
func (s *sessions) open(revision string) *session {
	n := &session{id: rand.Text(), revision: revision, atWork: map[string]context.CancelCauseFunc{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	if len(s.byID) >= maxSessions {
		s.drop(s.used.Front())
	}
	n.last = s.now()
	s.byID[n.id] = s.used.PushBack(n)
	return n
}

// find returns a session that is there, and marks it as used.
func (s *sessions) find(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	e := s.byID[id]
	if e == nil {
		return nil
	}
	found := e.Value.(*session)
	found.last = s.now()
	s.used.MoveToBack(e)
	return found
}

// end drops a session and what is at work in it, and reports whether it was
// there.
func (s *sessions) end(id string) bool {
	s.mu.Lock()
	e := s.byID[id]
	if e != nil {
		s.drop(e)
	}
	s.mu.Unlock()
	if e == nil {
		return false
	}
	ended := e.Value.(*session)
	ended.mu.Lock()
	defer ended.mu.Unlock()
	for _, cancel := range ended.atWork {
		cancel(errCancelled)
	}
	return true
}

func (s *sessions) sweep() {
	for e := s.used.Front(); e != nil && s.now().Sub(e.Value.(*session).last) > sessionIdle; e = s.used.Front() {
		s.drop(e)
	}
}

func (s *sessions) drop(e *list.Element) {
	delete(s.byID, e.Value.(*session).id)
	s.used.Remove(e)
}

var errCancelled = errors.New("the client has cancelled the request")

// enter notes a request that can be cancelled; leave forgets it.
func (s *session) enter(id string, cancel context.CancelCauseFunc) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.atWork[id]; taken {
		return func() {} // a client that uses an id twice cancels the first
	}
	s.atWork[id] = cancel
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.atWork, id)
	}
}

// cancel ends the request with this id, if it is at work.
func (s *session) cancel(id []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.atWork[string(id)]; cancel != nil {
		cancel(errCancelled)
	}
}

func (s *session) setLevel(level string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.level = level
}

func (s *session) logLevel() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level
}
