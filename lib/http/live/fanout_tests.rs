//! The fan-out thread by a scripted clock: what goes at once, what gathers, what comes each second.

use super::super::viewer::Snapshot;
use super::super::{Place, Subscription};
use super::*;
use crate::analysis::view::View;
use crate::base::clock::Scripted;
use crate::base::stop::{self, Stopper};
use crate::base::thread::{self, Joined};
use crate::http::counts::HttpCounts;
use crate::http::gate::{Budget, Stream};
use crate::http::scripted_view::ScriptedView;
use crossbeam_channel::{Sender, bounded};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::AtomicUsize;

struct Running {
    view: Arc<ScriptedView>,
    clock: Arc<Scripted>,
    counts: Arc<HttpCounts>,
    commands: Sender<Command>,
    _stopper: Stopper,
    _thread: Joined,
}

fn start() -> Running {
    let view = ScriptedView::new(3, 1);
    let clock = Scripted::new(1_700_000_000_000_000);
    let counts = Arc::new(HttpCounts::new());
    let context = Arc::new(Context {
        view: Arc::clone(&view) as Arc<dyn View>,
        clock: Arc::clone(&clock) as _,
        run: "run".to_owned(),
        version: String::new(),
        insecure: false,
        counts: Arc::clone(&counts),
        deleting: Default::default(),
    });
    let (commands, received) = bounded(8);
    let (stopper, stop) = stop::pair();
    let fanout = Fanout::new(context, received, Arc::default());
    let thread = thread::spawn("test-fanout", move || fanout.run(&stop)).unwrap();
    Running { view, clock, counts, commands, _stopper: stopper, _thread: thread }
}

/// Reads the events of one viewer.
struct Reader(BufReader<TcpStream>);

impl Reader {
    fn next(&mut self) -> (String, Value) {
        let mut lines = Vec::new();
        for _ in 0..4 {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            lines.push(line.trim_end().to_owned());
        }
        let name = lines[1].strip_prefix("event: ").unwrap().to_owned();
        (name, serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap())
    }

    /// The seqs of the next event, which must be frames.
    #[track_caller]
    fn seqs(&mut self) -> Vec<u64> {
        let (name, data) = self.next();
        assert_eq!(name, "frames", "{data}");
        data["rows"].as_array().unwrap().iter().map(|row| row[1].as_u64().unwrap()).collect()
    }
}

impl Running {
    fn join(&self, id: u64) -> Reader {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let stream = Stream::plain(listener.accept().unwrap().0).unwrap();
        stream.become_live().unwrap();
        let place = Place::take(&Arc::new(AtomicUsize::new(0))).unwrap();
        let wanted = Arc::new(Subscription { summary: true, hosts: Vec::new() });
        let viewer = Viewer::new(id, stream, place, wanted, Duration::ZERO);
        self.commands.send(Command::Join(Box::new(viewer))).unwrap();
        let permit = Budget::new(0).take(1).unwrap();
        let snapshot = vec![b"id: run-0\nevent: snapshot\ndata: 1\n\n".to_vec()];
        self.commands.send(Command::Snapshot(id, Snapshot::new(snapshot, permit))).unwrap();
        let mut reader = Reader(BufReader::new(theirs));
        assert_eq!(reader.next().0, "snapshot");
        reader
    }

    #[track_caller]
    fn send(&self, seq: u64) {
        assert!(self.view.send("host-0000", seq, 0));
    }
}

#[test]
fn the_first_frame_goes_at_once_and_those_behind_it_gather() {
    let running = start();
    let mut reader = running.join(1);
    running.send(1);
    assert_eq!(reader.seqs(), [1], "time stands still: it did not wait");
    running.send(2);
    running.send(3);
    running.clock.advance(BATCH_TIME_MIN);
    assert_eq!(reader.seqs(), [2, 3]);
    // After a quiet time the next one goes at once again.
    running.clock.advance(BATCH_TIME_MIN);
    running.send(4);
    assert_eq!(reader.seqs(), [4]);
    assert_eq!(running.counts.updates.get(), 4);
}

#[test]
fn a_heartbeat_comes_each_second_and_missed_ones_are_not_made_up_for() {
    let running = start();
    let mut reader = running.join(1);
    let second = Duration::from_secs(1);
    running.clock.advance(second);
    let (name, data) = reader.next();
    assert_eq!((name.as_str(), data["states"].as_array().unwrap().len()), ("heartbeat", 3));
    // A minute of sleep is one heartbeat, and the one that is due then.
    running.clock.advance(60 * second);
    assert_eq!(reader.next().1["server_time_ms"], 1_700_000_061_000_u64);
    running.send(7);
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != "frames") {
        names.push(reader.next().0);
    }
    assert!(names.len() <= 2, "{names:?}");
}

#[test]
fn frames_that_nobody_asked_for_are_counted_and_not_kept() {
    let running = start();
    running.send(1);
    let mut reader = running.join(1);
    // The join is after the frame, or the frame after the join; either way it is accounted for.
    running.clock.advance(BATCH_TIME_MAX);
    running.send(2);
    let mut seqs = Vec::new();
    while seqs.last() != Some(&2) {
        seqs.extend(reader.seqs());
        running.clock.advance(BATCH_TIME_MAX);
    }
    let counts = &running.counts;
    assert_eq!((counts.updates.get(), counts.updates_unwatched.get()), (2, 2 - seqs.len() as u64));
}
