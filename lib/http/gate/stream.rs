//! One viewer's connection, read and written by absolute deadlines.
//!
//! A timeout per call is no deadline: a viewer that sends a byte now and then would reset it for
//! ever. Here every call gets what is *left* until the moment given. Plain TCP for now; TLS becomes
//! a second [`Layer`], and nothing outside this file will know.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;

/// Kernel buffer of a live stream; autotuning otherwise hides megabytes in it, and a viewer that
/// no longer reads is noticed late (the kernel doubles it for its own bookkeeping).
const LIVE_SEND_BUFFER_BYTES: usize = 32 * 1024;

/// Unacknowledged data older than this ends the connection (`TCP_USER_TIMEOUT`, tcp(7)).
const USER_TIMEOUT_MS: u32 = 20_000;

/// After a refusal, what the viewer still sends is read so that closing does not reset the
/// connection and lose the answer: at most this much, and for this long.
const DRAIN_BYTES_MAX: usize = 256 * 1024;
const DRAIN_TIME_MAX: Duration = Duration::from_millis(500);

/// What carries the bytes.
#[derive(Debug)]
enum Layer {
    Plain,
}

/// A connection with a viewer.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Arc<TcpStream>,
    layer: Layer,
}

impl Stream {
    /// Takes an accepted socket.
    pub(crate) fn plain(socket: TcpStream) -> io::Result<Self> {
        // Answers are written whole: waiting for more to send would only delay them (Nagle and
        // delayed acknowledgements together cost 40 ms).
        socket.set_nodelay(true)?;
        rustix::net::sockopt::set_tcp_user_timeout(&socket, USER_TIMEOUT_MS)?;
        Ok(Self { socket: Arc::new(socket), layer: Layer::Plain })
    }

    /// The socket, for whoever may have to shut it down. Never its number: that may long belong to
    /// another connection.
    pub(crate) fn socket(&self) -> Arc<TcpStream> {
        Arc::clone(&self.socket)
    }

    /// For `poll`.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads what is there; `TimedOut` once `by` has passed.
    pub(crate) fn read_by(&mut self, bytes: &mut [u8], by: Instant) -> io::Result<usize> {
        loop {
            self.socket.set_read_timeout(Some(left(by)?))?;
            match self.read_some(bytes) {
                Err(error) if is_retry(&error) => {}
                result => return result,
            }
        }
    }

    /// Writes everything; `TimedOut` once `by` has passed.
    pub(crate) fn write_all_by(&mut self, mut bytes: &[u8], by: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            self.socket.set_write_timeout(Some(left(by)?))?;
            match self.write_some(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_retry(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the viewer has closed its side: it is not waiting for an answer any more. What it
    /// has sent and nobody has read yet stays there, and hides a closing behind it.
    pub(crate) fn has_left(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(&*self.socket, &mut [0_u8; 1][..], flags) {
            Ok((count, _)) => count == 0,
            Err(error) => error != Errno::AGAIN && error != Errno::INTR,
        }
    }

    /// Ends the connection so that the last answer still reaches the viewer.
    pub(crate) fn close_gently(mut self) {
        if self.socket.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let by = Instant::now() + DRAIN_TIME_MAX;
        let (mut drained, mut buffer) = (0, [0; 4096]);
        while drained < DRAIN_BYTES_MAX {
            match self.read_by(&mut buffer, by) {
                Ok(count) if count > 0 => drained += count,
                _ => return,
            }
        }
    }

    /// From here on no call waits; small kernel buffers show early who does not read.
    pub(crate) fn become_live(&self) -> io::Result<()> {
        rustix::net::sockopt::set_socket_send_buffer_size(&*self.socket, LIVE_SEND_BUFFER_BYTES)?;
        self.socket.set_nonblocking(true)
    }

    /// One read; what it means to find nothing is the caller's business.
    pub(crate) fn read_some(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.layer {
            Layer::Plain => (&*self.socket).read(bytes),
        }
    }

    /// One write. After `WouldBlock` the same bytes must be offered again.
    pub(crate) fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.layer {
            Layer::Plain => (&*self.socket).write(bytes),
        }
    }
}

/// What is left until `by`; an error when nothing is (a timeout of zero would mean none).
fn left(by: Instant) -> io::Result<Duration> {
    let left = by.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    // The kernel counts in its ticks; less than a millisecond may round down to no timeout.
    Ok(left.max(Duration::from_millis(1)))
}

/// A timeout of the kernel is `WouldBlock`; whether time is really up, `left` says.
fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
