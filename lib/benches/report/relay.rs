//! A TCP relay that counts what passes: every byte that a client and a server exchange, gRPC's and
//! HTTP/2's framing included, the headers of TCP and IP not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use realtime_monitor::base::thread;

/// Bytes so far.
#[derive(Debug, Default)]
pub struct Passed {
    /// From those who connect.
    pub up: AtomicU64,
    /// To them.
    pub down: AtomicU64,
}

/// Starts a relay to `server`; its threads end with their connections, the door with the process.
pub fn start(server: SocketAddr) -> Result<(SocketAddr, Arc<Passed>), String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let passed = Arc::new(Passed::default());
    let counts = Arc::clone(&passed);
    let door = thread::spawn("relay-door", move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(server) else { break };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (Ok(client_back), Ok(server_back)) = (client.try_clone(), server.try_clone())
            else {
                break;
            };
            let (up, down) = (Arc::clone(&counts), Arc::clone(&counts));
            for pump in [
                thread::spawn("relay-up", move || pump(client, server, &up.up)),
                thread::spawn("relay-down", move || pump(server_back, client_back, &down.down)),
            ] {
                pump.unwrap().abandon();
            }
        }
    });
    door.map_err(|error| error.to_string())?.abandon();
    Ok((address, passed))
}

fn pump(mut from: TcpStream, mut to: TcpStream, passed: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
        passed.fetch_add(len as u64, Relaxed);
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
