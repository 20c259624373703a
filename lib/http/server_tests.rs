//! The inner server by itself: answering, and built anew.

use super::*;
use crate::base::clock::Real;
use crate::http::scripted_view::ScriptedView;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

fn ask(place: &Place) -> String {
    let mut stream = UnixStream::connect(&place.socket).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_is_built_anew_when_it_refuses() {
    let runtime_dir = std::env::temp_dir().join(format!("rtm-inner-{}", std::process::id()));
    let counts = Arc::new(HttpCounts::new());
    let context = Arc::new(Context {
        view: ScriptedView::new(1, 1),
        clock: Real::shared(),
        run: "run".to_owned(),
        version: String::new(),
        insecure: false,
        counts: Arc::clone(&counts),
        deleting: Default::default(),
    });
    let (server, link) = start(&runtime_dir, context, Arc::clone(&counts)).unwrap();
    let folder = link.place.socket.parent().unwrap().to_owned();
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
