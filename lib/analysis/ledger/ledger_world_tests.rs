//! The ledger against a world in which every frame's fate is known.

use super::*;

/// A record of the topic.
#[derive(Debug, Clone)]
enum Entry {
    Frame(u64, bool),
    Record(Box<SessionRecord>),
}

/// Client, servers and bus, with every fault that can happen, and the truth about each frame.
struct World {
    dice: Dice,
    topic: Vec<Entry>,
    sampled: u64,
    /// Not yet acknowledged to the client, oldest first.
    buffer: BTreeSet<u64>,
    /// This server's account; a server that dies forgets it.
    acked: SeqRanges,
    server: u64,
    first_seq: u64,
    declared: Vec<(SeqRange, String)>,
    gone: BTreeSet<u64>,
    deleted: BTreeSet<u64>,
    doubled: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            dice: Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            topic: Vec::new(),
            sampled: 0,
            buffer: BTreeSet::new(),
            acked: SeqRanges::new(),
            server: 0,
            first_seq: 1,
            declared: Vec::new(),
            gone: BTreeSet::new(),
            deleted: BTreeSet::new(),
            doubled: 0,
        };
        world.tell(None);
        world
    }

    fn tell(&mut self, ended: Option<&str>) {
        let mut told = record(self.first_seq, self.sampled, self.acked.as_slice());
        told.dropped.clone_from(&self.declared);
        told.server = self.server.to_string().into();
        told.ended = ended.map(str::to_owned);
        self.topic.push(Entry::Record(Box::new(told)));
    }

    fn publish(&mut self, seq: u64, live: bool) {
        if self.dice.one_in(40) && !self.deleted.contains(&seq) && !self.was_published(seq) {
            self.deleted.insert(seq);
        } else {
            self.topic.push(Entry::Frame(seq, live));
            self.deleted.remove(&seq);
            if self.dice.one_in(20) {
                self.topic.push(Entry::Frame(seq, false));
            }
        }
        self.acked.insert(seq);
        // The acknowledgement may be lost on its way, with the server that sent it.
        if !self.dice.one_in(15) {
            self.buffer.remove(&seq);
        }
    }

    fn was_published(&self, seq: u64) -> bool {
        self.topic.iter().any(|entry| matches!(entry, Entry::Frame(known, _) if *known == seq))
    }

    fn step(&mut self) {
        match self.dice.below(12) {
            0..=5 => {
                self.sampled += 1;
                self.buffer.insert(self.sampled);
                if !self.dice.one_in(4) {
                    self.publish(self.sampled, true);
                }
            }
            6 | 7 => {
                let backlog = self.buffer.iter().copied().find(|seq| !self.acked.contains(*seq));
                if let Some(seq) = backlog {
                    self.publish(seq, false);
                }
            }
            8 => {
                // The buffer is full: its oldest go, even if they had arrived unknown to it.
                if let Some(seq) = self.buffer.pop_first() {
                    self.declared.push(((seq, seq), "buffer full".to_owned()));
                    self.gone.insert(seq);
                    self.tell(None);
                }
            }
            9 | 10 => self.tell(None),
            _ => {
                // Another server, or the same one after a crash: it knows what the client says.
                // Its last word may come late.
                let late = self.topic.len();
                self.tell(None);
                let last_word = self.topic.remove(late);
                self.acked = SeqRanges::new();
                let before = (self.server, self.first_seq);
                self.server = self.dice.below(3);
                self.first_seq = self.buffer.first().copied().unwrap_or(self.sampled + 1);
                if (self.server, self.first_seq) == before {
                    self.server = 3 + self.topic.len() as u64;
                }
                self.declared.clear();
                let noticed = self.dice.one_in(2);
                self.tell(None);
                if noticed {
                    self.topic.push(last_word);
                }
            }
        }
    }

    /// Everything that can still be sent is sent, and told.
    fn settle(&mut self) {
        for seq in std::mem::take(&mut self.buffer) {
            if !self.acked.contains(seq) {
                self.publish(seq, false);
            }
            self.buffer.remove(&seq);
        }
        self.tell(Some("bye"));
    }
}

fn feed(entries: &[Entry], seed: u64) -> (HostLedger, u64) {
    let (mut ledger, mut doubled) = (HostLedger::default(), 0);
    for (at, entry) in entries.iter().enumerate() {
        match entry {
            Entry::Frame(seq, live) => {
                let verdict = ledger.frame(SESSION, *seq, *live, SECOND);
                doubled += u64::from(verdict == Verdict::Doubled);
            }
            Entry::Record(record) => ledger.record(record, SECOND).unwrap(),
        }
        check_sum(&ledger.total(SECOND), &format!("seed {seed}, entry {at}"));
    }
    (ledger, doubled)
}

fn numbers(session: &SessionLedger) -> BTreeSet<u64> {
    session.missing_ranges.iter().flat_map(|((first, last), _)| *first..=*last).collect()
}

#[test]
fn agrees_with_a_world_in_which_every_frames_fate_is_known() {
    let mut deleted = 0;
    for seed in 1..400 {
        let mut world = World::new(seed);
        for _ in 0..150 {
            world.step();
        }
        world.settle();
        let arrived: Vec<u64> = world
            .topic
            .iter()
            .filter_map(|entry| match entry {
                Entry::Frame(seq, _) => Some(*seq),
                Entry::Record(_) => None,
            })
            .collect();
        let unique: BTreeSet<u64> = arrived.iter().copied().collect();
        world.doubled = (arrived.len() - unique.len()) as u64;
        let (ledger, doubled) = feed(&world.topic, seed);
        let session = only(&ledger, SECOND);
        // Deleted and later declared gone by a client that never heard: dropped, by its word.
        let missing: BTreeSet<u64> = world.deleted.difference(&world.gone).copied().collect();
        let dropped = world.gone.difference(&unique).count() as u64;
        assert_eq!(numbers(&session), missing, "seed {seed}");
        let account = session.account;
        assert_eq!(account.sampled, world.sampled, "seed {seed}");
        assert_eq!((account.stored, account.missing), (unique.len() as u64, missing.len() as u64));
        assert_eq!((account.dropped, account.waiting), (dropped, 0), "seed {seed}");
        assert_eq!((account.doubled, doubled), (world.doubled, world.doubled), "seed {seed}");
        deleted += missing.len();
    }
    assert!(deleted > 100, "the faults happened");
}

#[test]
fn a_start_in_the_middle_never_calls_missing_what_is_not() {
    let mut seen = 0;
    for seed in 1..400 {
        let mut world = World::new(seed);
        for _ in 0..150 {
            world.step();
        }
        world.settle();
        let from = world.dice.below(world.topic.len() as u64) as usize;
        let (ledger, _) = feed(&world.topic[from..], seed);
        let session = only(&ledger, SECOND);
        let missing = numbers(&session);
        let strange: Vec<_> = missing.difference(&world.deleted).collect();
        assert!(strange.is_empty(), "seed {seed}, from {from}: {strange:?} were not deleted");
        assert_eq!(session.account.waiting, 0, "seed {seed}");
        seen += missing.len();
    }
    assert!(seen > 30, "and sees faults that happen after it: {seen}");
}
