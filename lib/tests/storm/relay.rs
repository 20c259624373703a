//! A TCP relay that passes, cuts, holds back and halves what clients and a server say.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use realtime_monitor::base::thread;

use super::plan::Mode;
use crate::support::wait;

/// Held so long at least, and up to twice that.
const HELD_MS: u64 = 80;

/// A relay to one server; its threads end with their connections, the door with the process.
#[derive(Debug)]
pub struct Relay {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    mode: AtomicU8,
    connections: Mutex<Vec<(u64, Pair)>>,
    number: AtomicU64,
    /// Connections that the relay has cut.
    cut: AtomicU64,
}

/// Both ends of a connection.
#[derive(Debug)]
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    fn clone(&self) -> std::io::Result<Self> {
        Ok(Self { client: self.client.try_clone()?, server: self.server.try_clone()? })
    }
}

impl Relay {
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            mode: AtomicU8::new(Mode::Pass as u8),
            connections: Mutex::new(Vec::new()),
            number: AtomicU64::new(0),
            cut: AtomicU64::new(0),
        });
        let shared = Arc::clone(&state);
        let door = thread::spawn("relay-door", move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Without a server the client finds the door shut at once.
                let Ok(server) = TcpStream::connect(server) else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let _ = shared.open(Pair { client, server });
            }
        });
        door.unwrap().abandon();
        Self { address, state }
    }

    pub fn set(&self, mode: Mode) {
        self.state.mode.store(mode as u8, Relaxed);
        if mode == Mode::Drop {
            let connections = self.state.connections.lock().unwrap();
            self.state.cut.fetch_add(connections.len() as u64, Relaxed);
            connections.iter().for_each(|(_, pair)| pair.cut());
        }
    }

    /// Cuts one connection, if there is any.
    pub fn cut(&self, number: usize) {
        let connections = self.state.connections.lock().unwrap();
        if let Some(at) = number.checked_rem(connections.len()) {
            connections[at].1.cut();
            self.state.cut.fetch_add(1, Relaxed);
        }
    }

    /// Connections that were cut so far.
    pub fn cuts(&self) -> u64 {
        self.state.cut.load(Relaxed)
    }
}

impl State {
    fn is(&self, mode: Mode) -> bool {
        self.mode.load(Relaxed) == mode as u8
    }

    fn open(self: &Arc<Self>, pair: Pair) -> std::io::Result<()> {
        if self.is(Mode::Drop) {
            self.cut.fetch_add(1, Relaxed);
            pair.cut();
            return Ok(());
        }
        let number = self.number.fetch_add(1, Relaxed);
        for (name, is_up) in [("relay-up", true), ("relay-down", false)] {
            let (state, ends) = (Arc::clone(self), pair.clone()?);
            let pump = move || {
                let Pair { client, server } = &ends;
                let (from, to) = if is_up { (client, server) } else { (server, client) };
                state.pump(from, to, &ends);
                ends.cut();
                state.connections.lock().unwrap().retain(|(known, _)| *known != number);
            };
            thread::spawn(name, pump)?.abandon();
        }
        self.connections.lock().unwrap().push((number, pair));
        Ok(())
    }

    fn pump(&self, mut from: &TcpStream, mut to: &TcpStream, ends: &Pair) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            if self.is(Mode::Delay) {
                wait::pause(Duration::from_millis(HELD_MS + len as u64 % HELD_MS));
            }
            if self.is(Mode::Halve) {
                let _ = to.write_all(&buffer[..len / 2]);
                self.cut.fetch_add(1, Relaxed);
                return ends.cut();
            }
            if to.write_all(&buffer[..len]).is_err() {
                return;
            }
        }
    }
}
