//! Answers that the gate gives by itself, and the head of every answer.

use crate::http::methods;
use crate::http::view;

/// Sent with every answer.
const SECURITY_HEADERS: &str = "\
Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
frame-ancestors 'none'\r\n\
X-Content-Type-Options: nosniff\r\n\
X-Frame-Options: DENY\r\n\
Referrer-Policy: no-referrer\r\n\
Cross-Origin-Opener-Policy: same-origin\r\n\
Cross-Origin-Resource-Policy: same-origin\r\n";

/// When to come again after a 503: what makes for one passes within seconds, or not at all.
pub(crate) const RETRY_AFTER_S: &str = "2";

/// Why a request is not answered, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) status: u16,
    /// What was wrong.
    pub(crate) error: String,
    /// What would be right.
    pub(crate) expected: String,
    /// For 405.
    pub(crate) allow: &'static str,
}

impl Refusal {
    pub(crate) fn new(status: u16, error: impl Into<String>, expected: impl Into<String>) -> Self {
        let allow = methods::allowed("");
        Self { status, error: error.into(), expected: expected.into(), allow }
    }

    /// 405 for a path, with the methods that it takes.
    pub(crate) fn method(path: &str, error: &str) -> Self {
        let allow = methods::allowed(path);
        Self { allow, ..Self::new(405, error, allow) }
    }

    pub(crate) fn bad_request(error: &str) -> Self {
        Self::new(400, error, "a request as RFC 9112 has it: METHOD /path HTTP/1.1, Host, CRLF")
    }

    /// The body: `{"error":..,"expected":..}`.
    pub(crate) fn body(&self) -> Vec<u8> {
        view::error(&self.error, &self.expected)
    }

    /// The whole answer; the connection ends after it.
    pub(crate) fn answer(&self) -> Vec<u8> {
        self.answer_and(false, true)
    }

    /// The whole answer, or its head alone.
    pub(crate) fn answer_and(&self, keep_alive: bool, with_body: bool) -> Vec<u8> {
        let body = self.body();
        let mut answer = head(self.status, Some(body.len()), keep_alive);
        answer.extend_from_slice(&self.headers());
        answer.extend_from_slice(b"\r\n");
        if with_body {
            answer.extend_from_slice(&body);
        }
        answer
    }

    /// The header lines of its own.
    pub(crate) fn headers(&self) -> Vec<u8> {
        let mut lines = "Content-Type: application/json\r\nCache-Control: no-store\r\n".to_owned();
        match self.status {
            405 => lines.push_str(&format!("Allow: {}\r\n", self.allow)),
            503 => lines.push_str(&format!("Retry-After: {RETRY_AFTER_S}\r\n")),
            _ => {}
        }
        lines.into_bytes()
    }
}

/// Status line, length, connection and security headers, without the empty line that ends a head.
pub(crate) fn head(status: u16, content_length: Option<usize>, keep_alive: bool) -> Vec<u8> {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let mut text = format!("HTTP/1.1 {status} {}\r\nConnection: {connection}\r\n", reason(status));
    if let Some(length) = content_length {
        text.push_str(&format!("Content-Length: {length}\r\n"));
    }
    text.push_str(SECURITY_HEADERS);
    text.into_bytes()
}

/// The reason phrase of the statuses in use (RFC 9110 section 15).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_whole_answer_in_words() {
        let answer = Refusal::new(413, "it is \"too\" large", "less").answer();
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n"));
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert!(head.contains("frame-ancestors 'none'") && !head.contains("  "));
        assert_eq!(body, r#"{"error":"it is \"too\" large","expected":"less"}"#);
    }

    #[test]
    fn a_refused_method_names_those_of_its_path() {
        for (path, allow) in [
            ("/", "GET, HEAD"),
            ("/api/hosts", "GET, HEAD"),
            ("/api/hosts/", "GET, HEAD"),
            ("/api/hosts/web-1", "GET, HEAD, DELETE"),
            ("/api/live", "GET"),
            ("/api/query", "GET, HEAD"),
        ] {
            let answer = String::from_utf8(Refusal::method(path, "no").answer()).unwrap();
            assert!(answer.contains(&format!("\r\nAllow: {allow}\r\n")), "{answer}");
        }
    }

    #[test]
    fn a_refusal_on_a_connection_that_stays_has_a_length_even_without_its_body() {
        let refusal = Refusal::new(503, "busy", "later");
        let whole = refusal.answer_and(true, true);
        let head = String::from_utf8(refusal.answer_and(true, false)).unwrap();
        assert!(whole.starts_with(head.as_bytes()) && head.ends_with("\r\n\r\n"));
        assert!(head.contains("Connection: keep-alive\r\n"), "{head}");
        assert!(head.contains("Content-Length: 35\r\n"), "{head}");
        assert!(head.contains("Retry-After: 2\r\n"), "{head}");
    }
}
