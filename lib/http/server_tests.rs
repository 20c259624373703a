//! The inner server by itself: private, answering, and built anew.

use super::*;
use crate::base::clock::Real;
use crate::http::scripted_view::ScriptedView;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;

fn ask(place: &Place) -> String {
    let mut stream = UnixStream::connect(&place.socket).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_is_private_and_is_built_anew_when_it_refuses() {
    let runtime_dir = std::env::temp_dir().join(format!("rtm-inner-{}", std::process::id()));
    let counts = Arc::new(HttpCounts::new());
    let context = Arc::new(Context {
        view: ScriptedView::new(1, 1),
        clock: Real::shared(),
        run: "run".to_owned(),
        version: String::new(),
        insecure: false,
        counts: Arc::clone(&counts),
    });
    let (server, link) = start(&runtime_dir, context, Arc::clone(&counts)).unwrap();
    let folder = link.place.socket.parent().unwrap().to_owned();
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    assert!(ask(&link.place).contains("\"ok\""));

    let (moved, places) = bounded(4);
    link.moved.send(Box::new(move |place| moved.send(place).unwrap())).unwrap();
    link.rebuild.send(0).unwrap();
    let place = places.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!((place.generation, counts.server_rebuilt.get()), (1, 1));
    assert!(ask(&place).contains("\"ok\""));
    assert!(UnixStream::connect(&link.place.socket).is_err(), "the old one is gone");

    link.rebuild.send(0).unwrap();
    drop(server);
    assert!(places.try_recv().is_err(), "a report about an earlier one changes nothing");
    assert!(!folder.exists() && !runtime_dir.exists());
}

#[test]
fn what_killed_processes_left_is_removed_and_what_lives_is_not() {
    let runtime_dir = std::env::temp_dir().join(format!("rtm-left-{}", std::process::id()));
    let [dead, living, starting] = ["gate-1-a", "gate-2-b", "gate-3-c"].map(|name| {
        let folder = runtime_dir.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    });
    drop(UnixListener::bind(dead.join("0.sock")).unwrap());
    let _listener = UnixListener::bind(living.join("0.sock")).unwrap();
    drop(Directory::make(&runtime_dir).unwrap());
    assert!(!dead.exists() && living.exists() && starting.exists());
    fs::remove_dir_all(runtime_dir).unwrap();
}

#[test]
fn a_path_that_is_too_long_for_a_socket_is_said_in_words() {
    let long = std::env::temp_dir().join("x".repeat(90));
    let words = Directory::make(&long).unwrap_err().to_string();
    assert!(words.contains("too long") && words.contains("107"), "{words}");
    fs::remove_dir(long).unwrap();
}
