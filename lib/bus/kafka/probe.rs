//! Is this a broker that we can work with? One raw ApiVersions request, on a connection of our
//! own, with time limits and a bounded answer.
//!
//! The kafka crate cannot ask this. It sends the requests of protocol version 0, which Kafka 4
//! dropped: there, metadata looks healthy while every produce and fetch ends in a closed
//! connection (K20). The crate also connects without a time limit (K01) and believes any length
//! that a peer sends (K04); whoever has passed the probe is a Kafka broker that answers now.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::base::quantity::format_duration;

/// `ApiVersions` in the protocol's list of requests.
const API_VERSIONS_KEY: i16 = 18;

/// `Fetch`. Its lowest version tells old from new; not Produce, for which Kafka 4 says 0 and then
/// rejects it.
const FETCH_KEY: i16 = 1;

/// Fits 2,700 entries of 6 bytes; Kafka 3.9 has about 70.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Comes back in the answer: a late or foreign one would carry another.
const CORRELATION: i32 = 0x6d6f_6e69;

/// How long one address may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProbeLimits {
    /// For the connection.
    pub(super) connect: Duration,
    /// For each read and write.
    pub(super) answer: Duration,
}

/// Why a broker is not to be used.
#[derive(Debug)]
pub(super) enum ProbeError {
    /// No connection or no answer; may pass.
    Unreachable(String),
    /// Something answered that is not Kafka.
    Foreign(String),
    /// A broker without the protocol that the crate speaks.
    TooNew {
        /// The lowest version of Fetch that it takes.
        fetch_min: i16,
    },
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(what) | Self::Foreign(what) => f.write_str(what),
            Self::TooNew { fetch_min } => write!(
                f,
                "it is Kafka 4 or a broker like it (it takes Fetch from version {fetch_min}, \
                 this program speaks 0): needs Kafka <= 3.9"
            ),
        }
    }
}

/// Asks `broker` (`host:port`) at every address of its name, until one answers.
///
/// # Errors
/// The last address's fault; what answered wrongly outweighs what did not answer.
pub(super) fn probe(broker: &str, limits: ProbeLimits) -> Result<(), ProbeError> {
    let addresses = broker.to_socket_addrs().map_err(|error| {
        ProbeError::Unreachable(format!("its name cannot be resolved ({error})"))
    })?;
    let mut fault = ProbeError::Unreachable("its name has no address".to_owned());
    for address in addresses {
        match ask(address, limits) {
            Ok(()) => return Ok(()),
            Err(ProbeError::Unreachable(_)) if !matches!(fault, ProbeError::Unreachable(_)) => {}
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

fn ask(address: SocketAddr, limits: ProbeLimits) -> Result<(), ProbeError> {
    let mut stream = TcpStream::connect_timeout(&address, limits.connect)
        .map_err(|error| ProbeError::Unreachable(io_words(&error, limits.connect)))?;
    let answer = exchange(&mut stream, limits.answer)
        .map_err(|error| ProbeError::Unreachable(io_words(&error, limits.answer)))?;
    let fetch_min = answer
        .as_deref()
        .and_then(fetch_version_min)
        .ok_or_else(|| ProbeError::Foreign("what answers there does not speak Kafka".to_owned()))?;
    if fetch_min > 0 { Err(ProbeError::TooNew { fetch_min }) } else { Ok(()) }
}

/// The answer without its length; `None` when the length is absurd.
fn exchange(stream: &mut TcpStream, limit: Duration) -> io::Result<Option<Vec<u8>>> {
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.write_all(&request())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > ANSWER_BYTES_MAX {
        return Ok(None);
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(Some(answer))
}

/// Length, key, version 0, correlation id, empty client id.
fn request() -> Vec<u8> {
    let mut body = Vec::with_capacity(14);
    body.extend_from_slice(&10_i32.to_be_bytes());
    body.extend_from_slice(&API_VERSIONS_KEY.to_be_bytes());
    body.extend_from_slice(&0_i16.to_be_bytes());
    body.extend_from_slice(&CORRELATION.to_be_bytes());
    body.extend_from_slice(&0_i16.to_be_bytes());
    body
}

/// Reads correlation id, error, and (key, lowest, highest) of each request; `None` when it is not
/// such an answer.
fn fetch_version_min(answer: &[u8]) -> Option<i16> {
    let (correlation, rest) = answer.split_first_chunk::<4>()?;
    let (error, rest) = rest.split_first_chunk::<2>()?;
    let (count, entries) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    if i32::from_be_bytes(*correlation) != CORRELATION || i16::from_be_bytes(*error) != 0 {
        return None;
    }
    entries
        .chunks_exact(6)
        .take(count)
        .find(|entry| i16::from_be_bytes([entry[0], entry[1]]) == FETCH_KEY)
        .map(|entry| i16::from_be_bytes([entry[2], entry[3]]))
}

/// An I/O error as a person would say it.
pub(super) fn io_words(error: &io::Error, limit: Duration) -> String {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => "connection refused".to_owned(),
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::UnexpectedEof => "it closed the connection".to_owned(),
        Kind::TimedOut | Kind::WouldBlock => {
            format!("no answer within {}", format_duration(limit))
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(correlation: i32, error: i16, entries: &[(i16, i16, i16)]) -> Vec<u8> {
        let mut bytes = correlation.to_be_bytes().to_vec();
        bytes.extend_from_slice(&error.to_be_bytes());
        bytes.extend_from_slice(&(entries.len() as i32).to_be_bytes());
        for (key, min, max) in entries {
            bytes.extend([key, min, max].into_iter().flat_map(|number| number.to_be_bytes()));
        }
        bytes
    }

    #[test]
    fn reads_the_lowest_version_of_fetch() {
        let old = answer(CORRELATION, 0, &[(0, 0, 11), (1, 0, 17), (2, 0, 9)]);
        let new = answer(CORRELATION, 0, &[(0, 0, 13), (1, 4, 18)]);
        assert_eq!(fetch_version_min(&old), Some(0));
        assert_eq!(fetch_version_min(&new), Some(4));
    }

    #[test]
    fn anything_else_is_not_kafka() {
        let good = answer(CORRELATION, 0, &[(1, 0, 17)]);
        for cut in 0..good.len() {
            assert_eq!(fetch_version_min(&good[..cut]), None, "{cut} bytes");
        }
        assert_eq!(fetch_version_min(&answer(1, 0, &[(1, 0, 17)])), None);
        assert_eq!(fetch_version_min(&answer(CORRELATION, 35, &[(1, 0, 17)])), None);
        assert_eq!(fetch_version_min(b"HTTP/1.1 400 Bad Request\r\n"), None);
    }
}
