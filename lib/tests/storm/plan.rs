//! What happens when: drawn by lot from a seed, the same for the same seed, whatever the programs
//! make of it.

use std::time::Duration;

/// Spooled clients; the one after them has no spool.
pub const SPOOLED: usize = 20;

/// Of the spooled ones, the first so many have a disk that is full at times.
pub const SMALL_DISKS: usize = 6;

/// The storm so long unless `STORM_SECONDS` says otherwise.
const SECONDS_DEFAULT: u64 = 60;

/// The first client's disk is full so long, in the middle of the storm; and how long it takes a
/// client to be up and running after whatever befell it before.
const ALONE_MS: u64 = 6_000;
const START_MS: u64 = 1_500;

/// A program of the storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Server(usize),
    Analysis,
    Client(usize),
    Broker,
}

/// What a relay does with what passes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    Pass,
    /// Whoever is connected is cut off, and nobody gets through.
    Drop,
    /// Bytes are held for some 100 ms.
    Delay,
    /// Half of what comes next is passed on, then the connection is cut.
    Halve,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// kill -9; it comes back after the event's time.
    Kill(Target),
    /// SIGSTOP; SIGCONT after the event's time.
    Freeze(Target),
    /// The relay to a server, for the event's time.
    Relay(usize, Mode),
    /// One of the connections through a relay, whichever this number falls on.
    Cut(usize, usize),
    /// A client's disk takes no more, for the event's time.
    Full(usize),
}

/// A fault, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// Since the beginning of the storm.
    pub at: Duration,
    pub fault: Fault,
    pub lasts: Duration,
}

/// What `STORM_SECONDS` and `STORM_SEED` ask for.
pub fn asked() -> (u64, u64) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a number")))
    };
    let by_clock = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.as_millis() as u64 % 1_000_000)
    };
    let seconds = number("STORM_SECONDS").unwrap_or(SECONDS_DEFAULT);
    (seconds, number("STORM_SEED").unwrap_or_else(by_clock))
}

/// Every event of a storm, in order. The broker and the client without a spool are killed for
/// sure, and so is a client whose disk is full while no server can be reached; the rest as it
/// comes.
pub fn draw(seed: u64, seconds: u64) -> Vec<Event> {
    let mut dice = Dice::new(seed);
    let end_ms = seconds * 1_000;
    let unspooled = Target::Client(SPOOLED);
    let alone_ms = end_ms / 2;
    let mut events = vec![
        event(end_ms / 4, Fault::Kill(unspooled), 700),
        event(end_ms / 3, Fault::Kill(Target::Broker), 500),
        event(alone_ms, Fault::Full(0), ALONE_MS),
        event(alone_ms + 500, Fault::Relay(0, Mode::Drop), 3_000),
        event(alone_ms + 500, Fault::Relay(1, Mode::Drop), 3_000),
        event(alone_ms + 2_500, Fault::Kill(Target::Client(0)), 1_500),
    ];
    let mut at_ms = 300;
    while at_ms < end_ms {
        let (fault, from_ms, to_ms) = fault(&mut dice);
        let lasts_ms = from_ms + dice.below(to_ms - from_ms);
        // What is to happen to the first client for sure, nothing gets in the way of.
        let is_near = at_ms < alone_ms + ALONE_MS && at_ms + lasts_ms + START_MS > alone_ms;
        if !(is_near && concerns_the_first(fault)) {
            events.push(event(at_ms, fault, lasts_ms));
        }
        at_ms += 150 + dice.below(700);
    }
    events.sort_by_key(|event| event.at);
    events
}

/// Whether it may keep frames of the first client from being sampled, sent, or lost.
fn concerns_the_first(fault: Fault) -> bool {
    match fault {
        Fault::Relay(..) | Fault::Full(0) => true,
        Fault::Kill(target) | Fault::Freeze(target) => target == Target::Client(0),
        Fault::Cut(..) | Fault::Full(_) => false,
    }
}

fn event(at_ms: u64, fault: Fault, lasts_ms: u64) -> Event {
    let [at, lasts] = [at_ms, lasts_ms].map(Duration::from_millis);
    Event { at, fault, lasts }
}

/// A fault, and the least and most that it lasts, milliseconds.
fn fault(dice: &mut Dice) -> (Fault, u64, u64) {
    let lot = dice.below(100);
    let server = dice.below(2) as usize;
    let client = Target::Client(dice.below(SPOOLED as u64) as usize);
    match lot {
        0..26 => (Fault::Kill(client), 50, 1_500),
        26..30 => (Fault::Kill(Target::Client(SPOOLED)), 50, 1_500),
        30..40 => (Fault::Kill(Target::Server(server)), 100, 2_000),
        40..48 => (Fault::Kill(Target::Analysis), 100, 2_000),
        48..50 => (Fault::Kill(Target::Broker), 100, 2_000),
        50..58 => (Fault::Freeze(client), 1_000, 5_000),
        58..64 => (Fault::Freeze(Target::Server(server)), 1_000, 5_000),
        64..67 => (Fault::Freeze(Target::Analysis), 1_000, 5_000),
        67..70 => (Fault::Freeze(Target::Broker), 1_000, 5_000),
        70..75 => (Fault::Relay(server, Mode::Drop), 100, 3_000),
        75..80 => (Fault::Relay(server, Mode::Delay), 500, 4_000),
        80..85 => (Fault::Relay(server, Mode::Halve), 100, 2_000),
        85..91 => (Fault::Cut(server, dice.below(1 << 20) as usize), 0, 1),
        _ => (Fault::Full(dice.below(SMALL_DISKS as u64) as usize), 2_000, 8_000),
    }
}

/// xorshift64 (Marsaglia, 2003).
struct Dice(u64);

impl Dice {
    /// From any seed; neighbouring seeds begin far apart.
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}
