//! Deleting a host over real sockets: who may, and from where.

use std::sync::Arc;

use realtime_monitor::base::clock::Real;
use realtime_monitor::http::{self, Config, Handle};

use super::client::{Connection, send, status_of};
use super::served::config;
use crate::scripted_view::ScriptedView;

fn start(config: Config) -> (Handle, Arc<ScriptedView>) {
    let view = ScriptedView::new(4, 1);
    let handle = http::start(config, Arc::clone(&view) as _, Real::shared()).unwrap();
    (handle, view)
}

fn deleted(view: &ScriptedView) -> Vec<String> {
    view.deleted.lock().unwrap().iter().map(|host| host.to_string()).collect()
}

#[test]
fn a_program_and_our_own_page_delete_a_host() {
    let (handle, view) = start(config());
    let mut connection = Connection::open(handle.address());
    for (host, lines) in [
        ("host-0000", ""),
        // What the page's browser says, by the name the page was called.
        ("host-0001", "Origin: http://localhost\r\n"),
    ] {
        let (status, head, body) =
            connection.request("DELETE", &format!("/api/hosts/{host}"), lines);
        assert_eq!((status, body.len()), (204, 0), "{head}");
        assert!(!head.contains("Content-Length"), "{head}");
        assert_eq!(connection.request("GET", &format!("/api/hosts/{host}"), "").0, 404);
    }
    assert_eq!(deleted(&view), ["host-0000", "host-0001"]);
    assert_eq!(connection.request("DELETE", "/api/hosts/host-0000", "").0, 404);
    assert_eq!(handle.counts().hosts_deleted.get(), 2);
}

#[test]
fn a_page_of_another_site_deletes_nothing() {
    let (handle, view) = start(config());
    for origin in [
        "http://evil.example",
        "http://localhost.evil.example",
        "http://localhost:3000",
        "https://127.0.0.1",
        "null",
        "http://localhost\r\nOrigin: http://evil.example",
    ] {
        let request = format!(
            "DELETE /api/hosts/host-0000 HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\r\n"
        );
        let answer = send(handle.address(), request.as_bytes());
        assert_eq!(status_of(&answer), 403, "{origin}");
        let text = String::from_utf8(answer).unwrap();
        assert!(text.contains("may not change anything here"), "{text}");
    }
    // Its browser asks before it sends such a request, and gets no permission.
    let preflight = b"OPTIONS /api/hosts/host-0000 HTTP/1.1\r\nHost: localhost\r\n\
        Origin: http://evil.example\r\nAccess-Control-Request-Method: DELETE\r\n\
        Connection: close\r\n\r\n";
    let answer = send(handle.address(), preflight);
    assert_eq!(status_of(&answer), 405);
    let text = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    assert!(!text.contains("access-control"), "{text}");
    assert!(text.contains("\r\nallow: get, head, delete\r\n"), "{text}");
    // Under a name that is not ours it does not come that far.
    let rebound = b"DELETE /api/hosts/host-0000 HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(status_of(&send(handle.address(), rebound)), 421);
    assert!(deleted(&view).is_empty());
}

#[test]
fn a_deletion_with_a_body_is_refused() {
    let (handle, view) = start(config());
    let request = b"DELETE /api/hosts/host-0000 HTTP/1.1\r\nHost: localhost\r\n\
        Content-Length: 5\r\n\r\nhello";
    let text = String::from_utf8(send(handle.address(), request)).unwrap();
    assert_eq!(status_of(text.as_bytes()), 400, "{text}");
    assert!(text.contains("the path alone says"), "{text}");
    assert!(deleted(&view).is_empty());
}

#[test]
fn an_open_listener_lets_nobody_delete() {
    let open = Config { listen: "0.0.0.0:0".parse().unwrap(), insecure: true, ..config() };
    let (handle, view) = start(open);
    let address = (std::net::Ipv4Addr::LOCALHOST, handle.address().port()).into();
    let mut connection = Connection::open(address);
    let (status, _, body) = connection.request("DELETE", "/api/hosts/host-0000", "");
    assert_eq!(status, 403);
    assert!(String::from_utf8(body).unwrap().contains("nothing protects it yet"));
    assert_eq!(connection.request("GET", "/api/hosts/host-0000", "").0, 200);
    assert!(deleted(&view).is_empty());
}
