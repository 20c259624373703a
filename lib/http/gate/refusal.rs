//! Answers that the gate gives by itself, and the head of every answer.

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

/// Why a request is not answered, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) status: u16,
    /// What was wrong.
    pub(crate) error: String,
    /// What would be right.
    pub(crate) expected: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, error: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { status, error: error.into(), expected: expected.into() }
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
        let body = self.body();
        let mut answer = head(self.status, Some(body.len()), false);
        answer.extend_from_slice(b"Content-Type: application/json\r\nCache-Control: no-store\r\n");
        if self.status == 405 {
            answer.extend_from_slice(b"Allow: GET, HEAD\r\n");
        }
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(&body);
        answer
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
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
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
}
