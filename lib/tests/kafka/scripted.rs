//! A small broker that speaks just enough of protocol version 0 and misbehaves on cue.
//!
//! It stores what it is sent and answers properly, until a test gives a [`Cue`] for the next
//! request of a kind. Every request is reported on a channel before its cue is played, so that a
//! test knows without sleeping where the client has got to.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use realtime_monitor::base::thread::{self, Joined};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::codec::{Input, Message, Output};
use super::wait;

pub(crate) const PRODUCE: i16 = 0;
pub(crate) const FETCH: i16 = 1;
pub(crate) const OFFSETS: i16 = 2;
pub(crate) const METADATA: i16 = 3;
pub(crate) const VERSIONS: i16 = 18;

/// More requests than any test makes.
const SEEN_MAX: usize = 10_000;

/// What a slow broker has room for, reads at once, and how long it rests after that: 2 MB/s.
const SLOW_BUFFER_BYTES: usize = 4 * 1024;
const SLOW_READ_BYTES: usize = 2 * 1024;
const SLOW_REST: Duration = Duration::from_millis(1);

/// What to do with the next request of a kind.
#[derive(Debug)]
pub(crate) enum Cue {
    /// The usual; for cues that hit a later request.
    Play,
    /// Close the connection without an answer.
    Close,
    /// Keep the connection and never answer.
    Silence,
    /// A proper answer with this error for every partition; nothing is stored.
    Error(i16),
    /// These bytes instead of an answer, length included.
    Raw(Vec<u8>),
    /// A proper answer that lists nothing.
    Nothing,
    /// These bytes as the body of an answer that is proper otherwise; nothing is stored.
    Body(Vec<u8>),
    /// A proper answer, of which so many bytes are sent; then close the connection.
    Cut(usize),
    /// A proper answer, to another request.
    WrongCorrelation,
    /// Wait for the signal (or its sender's end), then go on with the other.
    Hold(Receiver<()>, Box<Cue>),
}

/// One partition.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) start: u64,
    pub(crate) messages: Vec<Message>,
}

impl Log {
    fn end(&self) -> u64 {
        self.start + self.messages.len() as u64
    }
}

/// What a test may set while the broker runs.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) cues: HashMap<i16, VecDeque<Cue>>,
    pub(crate) logs: HashMap<(String, i32), Log>,
    /// Topics and the partition ids that metadata tells.
    pub(crate) topics: HashMap<String, Vec<i32>>,
    /// Where metadata says that the leader is.
    pub(crate) advertised: SocketAddr,
    pub(crate) fetch_version_min: i16,
    /// A larger message set is rejected with `MESSAGE_TOO_LARGE`.
    pub(crate) batch_bytes_max: usize,
    /// A fetch that allows less brings nothing.
    pub(crate) fetch_bytes_min: i32,
    /// Partitions of any topic that metadata tells without a leader.
    pub(crate) leaderless: HashSet<i32>,
    /// Partitions of any topic whose produce and fetch answers carry this error.
    pub(crate) failing: HashMap<i32, i16>,
    /// Reads requests bit by bit.
    pub(crate) reads_slowly: bool,
    /// So many requests are read to their half; the rest never comes, as after a short write.
    pub(crate) halved: usize,
    /// Requests of more bytes than this are meant by `halved`.
    pub(crate) halved_above: usize,
    connections: Vec<TcpStream>,
    stopping: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    stored: Condvar,
    seen: Sender<i16>,
}

/// The broker. Dropping it closes all connections.
#[derive(Debug)]
pub(crate) struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Kinds of requests, in order of arrival.
    pub(crate) seen: Receiver<i16>,
    accepting: Option<Joined>,
}

impl Scripted {
    /// With the two usual topics of 4 and 1 partitions.
    pub(crate) fn start() -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// The same with hardly any room for what it has not read yet.
    pub(crate) fn start_slow() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Connections that are accepted have it too.
        set_socket_recv_buffer_size(&listener, SLOW_BUFFER_BYTES).unwrap();
        let broker = Self::start_on(listener);
        broker.state().reads_slowly = true;
        broker
    }

    fn start_on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let (seen, receiver) = bounded(SEEN_MAX);
        let topics = HashMap::from([
            ("monitor_metrics".to_owned(), vec![0, 1, 2, 3]),
            ("monitor_events".to_owned(), vec![0]),
        ]);
        let state = State {
            cues: HashMap::new(),
            logs: HashMap::new(),
            topics,
            advertised: address,
            fetch_version_min: 0,
            batch_bytes_max: usize::MAX,
            fetch_bytes_min: 0,
            leaderless: HashSet::new(),
            failing: HashMap::new(),
            reads_slowly: false,
            halved: 0,
            halved_above: 1_000,
            connections: Vec::new(),
            stopping: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), stored: Condvar::new(), seen });
        let accepted = Arc::clone(&shared);
        let accepting = thread::spawn("script-accept", move || accept(&listener, &accepted));
        Self { address, shared, seen: receiver, accepting: Some(accepting.unwrap()) }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Adds a cue for the next request of a kind that has none yet.
    pub(crate) fn cue(&self, kind: i16, cue: Cue) {
        self.state().cues.entry(kind).or_default().push_back(cue);
    }

    /// Values stored in a partition of the metrics topic.
    pub(crate) fn values(&self, partition: i32) -> Vec<Vec<u8>> {
        let state = self.state();
        let log = state.logs.get(&("monitor_metrics".to_owned(), partition));
        log.map_or(Vec::new(), |log| log.messages.iter().map(|m| m.value.clone()).collect())
    }

    /// Puts a message into partition 0 of the metrics topic.
    pub(crate) fn store(&self, attributes: i8, value: &[u8]) {
        let message = Message { attributes, key: b"h".to_vec(), value: value.to_vec() };
        let place = ("monitor_metrics".to_owned(), 0);
        self.state().logs.entry(place).or_default().messages.push(message);
        self.shared.stored.notify_all();
    }

    /// Takes reported requests until one of this kind has come.
    pub(crate) fn wait_for(&self, kind: i16) {
        while self.seen.recv_timeout(Duration::from_secs(30)).expect("a request") != kind {}
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        {
            let mut state = self.state();
            state.stopping = true;
            state.cues.clear();
            for connection in &state.connections {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        self.shared.stored.notify_all();
        let _ = TcpStream::connect(self.address);
        drop(self.accepting.take());
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut serving = Vec::new();
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        let mut state = shared.state.lock().unwrap();
        if state.stopping {
            return;
        }
        state.connections.push(stream.try_clone().unwrap());
        drop(state);
        let shared = Arc::clone(shared);
        serving.push(thread::spawn("script-serve", move || serve(stream, &shared)).unwrap());
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    loop {
        let mut length = [0; 4];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut request = vec![0; i32::from_be_bytes(length) as usize];
        if read_request(&mut stream, shared, &mut request).is_err() {
            return;
        }
        let mut input = Input::new(&request);
        let (kind, version, correlation) = (input.i16(), input.i16(), input.i32());
        assert_eq!(version, 0);
        let _client = input.string();
        let cue = shared.state.lock().unwrap().cues.get_mut(&kind).and_then(VecDeque::pop_front);
        let _ = shared.seen.try_send(kind);
        let (cue, cut) = match cue.unwrap_or(Cue::Play) {
            Cue::Cut(bytes) => (Cue::Play, Some(bytes)),
            cue => (cue, None),
        };
        let answer = play(cue, shared, kind, correlation, &mut input);
        let sent = answer.as_ref().map_or(0, |answer| cut.unwrap_or(answer.len()));
        if let Some(answer) = &answer
            && stream.write_all(&answer[..sent.min(answer.len())]).is_err()
        {
            return;
        }
        if answer.is_none() || cut.is_some() {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn read_request(stream: &mut TcpStream, shared: &Shared, request: &mut [u8]) -> io::Result<()> {
    let (slowly, is_halved) = {
        let mut state = shared.lock();
        let is_halved = state.halved > 0 && request.len() > state.halved_above;
        state.halved -= usize::from(is_halved);
        (state.reads_slowly, is_halved)
    };
    if is_halved {
        let half = request.len() / 2;
        stream.read_exact(&mut request[..half])?;
        // What has come nevertheless is thrown away, until the client or the test ends it.
        io::copy(stream, &mut io::sink())?;
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if !slowly {
        return stream.read_exact(request);
    }
    for part in request.chunks_mut(SLOW_READ_BYTES) {
        stream.read_exact(part)?;
        wait::pause(SLOW_REST);
    }
    Ok(())
}

/// The bytes to send; `None` closes the connection.
fn play(
    cue: Cue,
    shared: &Shared,
    kind: i16,
    correlation: i32,
    input: &mut Input<'_>,
) -> Option<Vec<u8>> {
    let body = match cue {
        Cue::Close => return None,
        Cue::Silence => return Some(Vec::new()),
        Cue::Raw(bytes) => return Some(bytes),
        Cue::Hold(signal, then) => {
            let _ = signal.recv();
            return play(*then, shared, kind, correlation, input);
        }
        Cue::Nothing => Output::default().i32(0).0,
        Cue::Body(body) => body,
        Cue::WrongCorrelation => return play(Cue::Play, shared, kind, correlation + 1, input),
        Cue::Play | Cue::Cut(_) => {
            super::answers::answer(shared.lock(), &shared.stored, kind, input, 0)
        }
        Cue::Error(code) => {
            super::answers::answer(shared.lock(), &shared.stored, kind, input, code)
        }
    };
    let answer = [Output::default().i32(correlation).0, body].concat();
    Some(Output::default().sized(&answer).0)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Adds to a log; gives the first offset.
pub(crate) fn append(log: &mut Log, messages: Vec<Message>) -> u64 {
    let first = log.end();
    log.messages.extend(messages);
    first
}

/// What a fetch brings: end, and messages up to a size, the last one cut short.
pub(crate) fn read_log(log: &Log, offset: u64, bytes_max: usize) -> (u64, Vec<u8>) {
    let skip = usize::try_from(offset.saturating_sub(log.start)).unwrap();
    let mut set = Vec::new();
    for (offset, message) in (log.start..).zip(&log.messages).skip(skip) {
        set.extend(message.encode(offset));
        if set.len() >= bytes_max {
            set.truncate(bytes_max);
            break;
        }
    }
    (log.end(), set)
}
