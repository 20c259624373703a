//! Heads that two programs could read differently, and heads that must pass.

use super::*;

fn read(text: &[u8]) -> Result<Head, u16> {
    match end_of_head(text, 0) {
        Ok(Some(end)) => parse(&text[..end]).map_err(|refusal| refusal.status),
        Ok(None) => Err(0),
        Err(refusal) => Err(refusal.status),
    }
}

/// A GET with these lines after its Host.
#[track_caller]
fn check_lines(lines: &str, status: u16) {
    let text = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
    assert_eq!(read(text.as_bytes()).map(|_| ()), Err(status), "{lines:.80?}");
}

#[track_caller]
fn check_whole(text: &str, status: u16) {
    assert_eq!(read(text.as_bytes()).map(|_| ()), Err(status), "{text:.80?}");
}

#[test]
fn what_browsers_send_passes() {
    let head = read(
        b"GET /api/live?summary=1&host=a HTTP/1.1\r\nHost: localhost:8003\r\nConnection: keep-alive\r\n\
          Accept-Encoding: gzip, br\r\nCookie: secret=1\r\nIf-None-Match: \"x\"\r\n\r\n",
    )
    .unwrap();
    assert_eq!((head.path(), head.query()), ("/api/live", "summary=1&host=a"));
    assert_eq!((head.host.as_str(), head.content_length), ("localhost:8003", 0));
    assert!(head.keep_alive && !head.is_head() && !head.expects_continue);
    assert_eq!(
        String::from_utf8(head.forwarded()).unwrap(),
        "GET /api/live?summary=1&host=a HTTP/1.0\r\nConnection: keep-alive\r\n\
         accept-encoding: gzip, br\r\nif-none-match: \"x\"\r\n\r\n"
    );
}

#[test]
fn keep_alive_follows_the_version_and_the_header() {
    for (text, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, Close\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", true),
    ] {
        assert_eq!(read(text.as_bytes()).unwrap().keep_alive, expected, "{text:?}");
    }
}

#[test]
fn lengths_that_two_readers_could_take_differently() {
    for lines in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length : 5\r\n",
        "Content-Length: 5\r\n ,6\r\n",
    ] {
        check_lines(lines, 400);
    }
    check_lines("Content-Length: 65537\r\n", 413);
    check_lines("Content-Length: 200000000000\r\n", 413);
    check_lines("Content-Length: 18446744073709551616\r\n", 413);
    check_lines("Transfer-Encoding: chunked\r\n", 411);
    check_lines("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 411);
    check_lines("Transfer-Encoding: identity\r\n", 411);
}

#[test]
fn lines_that_are_no_headers() {
    for lines in [
        "A: b\r\n folded\r\n",
        "A: b\r\n\tfolded\r\n",
        "A : b\r\n",
        "A\0: b\r\n",
        "A: b\0c\r\n",
        "no colon\r\n",
        ": empty\r\n",
        "A: b\nC: d\r\n",
        "A: b\rC: d\r\n",
        "Host: second\r\n",
        "Accept: \u{e9}\r\n",
    ] {
        check_lines(lines, 400);
    }
    check_lines("Expect: 200-ok\r\n", 417);
    check_lines(&"A: b\r\n".repeat(100), 431);
    check_lines(&format!("A: {}\r\n", "b".repeat(HEAD_BYTES_MAX)), 431);
}

#[test]
fn request_lines_that_are_not_ours() {
    check_whole("GET / HTTP/1.1\r\n\r\n", 400);
    check_whole("GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400);
    check_whole("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    check_whole("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    check_whole("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    check_whole("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    check_whole("GET / HTTP/1.1\nHost: a\n\n", 400);
    check_whole("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    check_whole("\x16\x03\x01\x02\0\x01\n", 400);
    check_whole("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    check_whole("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    check_whole("CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405);
    check_whole("TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(TARGET_BYTES_MAX));
    check_whole(&long, 414);
}

#[test]
fn a_head_in_pieces_gives_the_same_as_a_whole_one() {
    let text = b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n\r\nGET /next";
    for step in 1..text.len() {
        let (mut have, mut seen, mut end) = (0, 0, None);
        while end.is_none() && have < text.len() {
            have = (have + step).min(text.len());
            end = end_of_head(&text[..have], seen).unwrap_or_else(|refusal| panic!("{refusal:?}"));
            // The last byte is looked at again: a CR may still get its LF.
            seen = have.saturating_sub(1);
        }
        assert_eq!(end, Some(text.len() - 9), "in pieces of {step}");
    }
}
