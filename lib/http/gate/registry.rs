//! Who is connected: a cap, and who goes first when it is reached.
//!
//! A connection whose request is complete is being answered and is left alone; one without is
//! either idle or slow, and the one that has been so for longest makes room.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The open connections.
#[derive(Debug)]
pub(crate) struct Registry {
    capacity: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    open: HashMap<u64, Connection>,
    stopped: bool,
}

#[derive(Debug)]
struct Connection {
    socket: Arc<TcpStream>,
    /// Since when there is no complete request; `None` while one is being answered.
    waiting_since: Option<Instant>,
    evicted: bool,
}

/// One connection's place; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Slot {
    registry: Arc<Registry>,
    id: u64,
}

impl Registry {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self { capacity, state, freed: Condvar::new() })
    }

    /// A place for `socket`, or `None` when all are taken.
    pub(crate) fn enter(self: &Arc<Self>, socket: Arc<TcpStream>) -> Option<Slot> {
        let mut state = self.lock();
        if state.open.len() >= self.capacity || state.stopped {
            return None;
        }
        state.next_id += 1;
        let id = state.next_id;
        let waiting_since = Some(Instant::now());
        state.open.insert(id, Connection { socket, waiting_since, evicted: false });
        Some(Slot { registry: Arc::clone(self), id })
    }

    /// Shuts down the connection that has been without a complete request for longest; false when
    /// every one is being answered or already on its way out.
    pub(crate) fn evict_oldest(&self) -> bool {
        let mut state = self.lock();
        let waiting = state.open.values_mut().filter(|connection| !connection.evicted);
        let oldest = waiting
            .filter_map(|connection| connection.waiting_since.map(|since| (since, connection)))
            .min_by_key(|(since, _)| *since);
        let Some((_, connection)) = oldest else { return false };
        connection.evicted = true;
        // Its thread wakes up with an error and gives the place back.
        let _ = connection.socket.shutdown(Shutdown::Both);
        true
    }

    /// Waits until a place is free.
    pub(crate) fn wait_for_place(&self, limit: Duration) -> bool {
        self.wait_until(limit, |state| state.open.len() < self.capacity)
    }

    /// Shuts every connection down and waits until their threads have ended.
    pub(crate) fn stop(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        state.stopped = true;
        for connection in state.open.values() {
            let _ = connection.socket.shutdown(Shutdown::Both);
        }
        drop(state);
        self.wait_until(limit, |state| state.open.is_empty())
    }

    /// How many are open.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().open.len()
    }

    fn wait_until(&self, limit: Duration, done: impl Fn(&State) -> bool) -> bool {
        let (state, _) = self
            .freed
            .wait_timeout_while(self.lock(), limit, |state| !done(state))
            .unwrap_or_else(PoisonError::into_inner);
        done(&state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// A request is complete: this connection is not evicted until its answer is written.
    pub(crate) fn answering(&self) {
        self.set(None);
    }

    /// Waiting for the next request.
    pub(crate) fn waiting(&self) {
        self.set(Some(Instant::now()));
    }

    fn set(&self, waiting_since: Option<Instant>) {
        if let Some(connection) = self.registry.lock().open.get_mut(&self.id) {
            connection.waiting_since = waiting_since;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.registry.lock().open.remove(&self.id);
        self.registry.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    /// A connected pair: ours, theirs.
    fn pair(listener: &TcpListener) -> (Arc<TcpStream>, TcpStream) {
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Arc::new(listener.accept().unwrap().0), theirs)
    }

    #[test]
    fn the_longest_waiting_goes_first_and_who_is_answered_stays() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = Registry::new(3);
        let pairs: Vec<_> = (0..3).map(|_| pair(&listener)).collect();
        let slots: Vec<_> =
            pairs.iter().map(|(ours, _)| registry.enter(Arc::clone(ours)).unwrap()).collect();
        assert!(registry.enter(pair(&listener).0).is_none(), "the cap holds");

        slots[0].answering();
        slots[1].waiting();
        assert!(registry.evict_oldest());
        assert_eq!((&pairs[2].1).read(&mut [0]).unwrap(), 0, "the third has waited longest");
        assert!(registry.evict_oldest());
        assert_eq!((&pairs[1].1).read(&mut [0]).unwrap(), 0);
        assert!(!registry.evict_oldest(), "the first is being answered");

        assert!(!registry.wait_for_place(Duration::ZERO));
        drop(slots);
        assert!(registry.wait_for_place(Duration::ZERO));
        assert_eq!(registry.len(), 0);
        assert!(registry.stop(Duration::ZERO));
        assert!(registry.enter(pair(&listener).0).is_none(), "stopped");
    }
}
