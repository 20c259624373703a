//! The head of a request: parsed once, strictly, before anything in it is believed.
//!
//! Two programs that read one head differently are how requests are smuggled past a gate, so
//! whatever two readers could take in two ways is refused (RFC 9112 sections 2.2, 5 and 6), and
//! what goes on is written anew from what was understood, by [`Head::forwarded`].

use super::refusal::Refusal;

/// Largest head. Browsers send 1 KiB; cookies of other programs on `localhost` come on top.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most header lines; browsers send about 20.
pub(crate) const HEADERS_MAX: usize = 100;

/// Longest path with its query: 32 host names of 253 characters for `/api/live`.
pub(crate) const TARGET_BYTES_MAX: usize = 9 * 1024;

/// Largest body.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Headers that handlers need; the others are not passed on.
const FORWARDED: &[&str] = &["accept", "accept-encoding", "content-type", "if-none-match"];

/// A head that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// Path and query, visible ASCII, beginning with `/`.
    pub(crate) target: String,
    pub(crate) host: String,
    /// The site whose page asks, as the browser says.
    pub(crate) origin: Option<String>,
    /// It takes an answer in chunks.
    pub(crate) is_1_1: bool,
    /// Length of the body, at most [`BODY_BYTES_MAX`].
    pub(crate) content_length: usize,
    /// The viewer wants to use the connection again.
    pub(crate) keep_alive: bool,
    /// The viewer waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    forwarded: Vec<(&'static str, String)>,
}

impl Head {
    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// A header that handlers need, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut kept = self.forwarded.iter();
        kept.find(|(kept, _)| *kept == name).map(|(_, value)| value.as_str())
    }

    /// The path without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// What follows the first `?`.
    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The head for the inner server: HTTP/1.0, so that it never answers in chunks.
    pub(crate) fn forwarded(&self) -> Vec<u8> {
        let mut text =
            format!("{} {} HTTP/1.0\r\nConnection: keep-alive\r\n", self.method, self.target);
        for (name, value) in &self.forwarded {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.content_length > 0 {
            text.push_str(&format!("content-length: {}\r\n", self.content_length));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

/// Where the head ends, once its empty line has come; `from` is how much was looked at before.
///
/// # Errors
/// A line that ends with LF alone or a CR alone, as soon as it is seen; a head that is too large.
pub(crate) fn end_of_head(bytes: &[u8], from: usize) -> Result<Option<usize>, Refusal> {
    for at in from..bytes.len() {
        match bytes[at] {
            b'\n' if at == 0 || bytes[at - 1] != b'\r' => {
                return Err(Refusal::bad_request("a line of the head ends with LF alone"));
            }
            b'\r' if bytes.get(at + 1).is_some_and(|next| *next != b'\n') => {
                return Err(Refusal::bad_request("the head has a CR that is not followed by LF"));
            }
            b'\n' if at == 1 => {
                return Err(Refusal::bad_request("the head begins with an empty line"));
            }
            b'\n' if at < HEAD_BYTES_MAX && bytes[..=at].ends_with(b"\r\n\r\n") => {
                return Ok(Some(at + 1));
            }
            _ => {}
        }
    }
    if bytes.len() >= HEAD_BYTES_MAX {
        let error = format!("the head is larger than {HEAD_BYTES_MAX} bytes");
        return Err(Refusal::new(431, error, "fewer or shorter headers"));
    }
    Ok(None)
}

/// Reads a whole head, its empty line included.
pub(crate) fn parse(bytes: &[u8]) -> Result<Head, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Refusal::bad_request("the head is malformed")),
        Err(httparse::Error::TooManyHeaders) => {
            let error = format!("the head has more than {HEADERS_MAX} headers");
            return Err(Refusal::new(431, error, "fewer headers"));
        }
        Err(httparse::Error::Version) if names_a_version(bytes) => {
            let error = "the version of HTTP is not one of ours";
            return Err(Refusal::new(505, error, "HTTP/1.1 or HTTP/1.0"));
        }
        Err(error) => return Err(Refusal::bad_request(&format!("the head is malformed: {error}"))),
    }
    let target = request.path.unwrap_or_default();
    let method = method_of(request.method.unwrap_or_default(), target)?;
    let target = target_of(target)?;
    let fields = Fields(request.headers);
    let is_1_1 = request.version == Some(1);
    let keep_alive = fields.keep_alive(is_1_1);
    let expects_continue = fields.expects_continue()?;
    let content_length = fields.content_length()?;
    Ok(Head {
        method,
        target,
        host: fields.host()?,
        origin: fields.visible("origin")?,
        is_1_1,
        content_length,
        keep_alive,
        expects_continue,
        forwarded: fields.forwarded()?,
    })
}

/// Whether the request line is well formed up to a version, so that only the version is wrong.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    let words: Vec<_> = line.split(|b| *b == b' ').collect();
    words.len() == 3 && words[2].starts_with(b"HTTP/")
}

fn method_of(method: &str, target: &str) -> Result<String, Refusal> {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => Ok(method.to_owned()),
        _ => {
            let path = target.split('?').next().unwrap_or_default();
            Err(Refusal::method(path, "this method is not understood here"))
        }
    }
}

fn target_of(target: &str) -> Result<String, Refusal> {
    if target.len() > TARGET_BYTES_MAX {
        let error = format!("the path is longer than {TARGET_BYTES_MAX} bytes");
        return Err(Refusal::new(414, error, "a shorter path or query"));
    }
    if !target.starts_with('/')
        || !target.bytes().all(|b| b.is_ascii_graphic())
        || target.contains('#')
    {
        return Err(Refusal::bad_request("the path is not '/...' in visible ASCII"));
    }
    Ok(target.to_owned())
}

/// The header lines of one head.
struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    fn host(&self) -> Result<String, Refusal> {
        let mut values = self.all("host");
        match (values.next(), values.next()) {
            (Some(value), None) => std::str::from_utf8(value)
                .map(str::to_owned)
                .map_err(|_| Refusal::bad_request("the Host header is not ASCII")),
            _ => Err(Refusal::bad_request("the head has no Host header, or two")),
        }
    }

    fn content_length(&self) -> Result<usize, Refusal> {
        if self.all("transfer-encoding").next().is_some() {
            let error = "a body in chunks is not taken";
            return Err(Refusal::new(411, error, "a Content-Length and no Transfer-Encoding"));
        }
        let mut values = self.all("content-length");
        let Some(value) = values.next() else { return Ok(0) };
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        if values.next().is_some() || !is_number {
            return Err(Refusal::bad_request("the Content-Length is not one plain number"));
        }
        let text = std::str::from_utf8(value).unwrap_or_default();
        // More digits than usize holds is as good as too large.
        match text.parse::<usize>().unwrap_or(usize::MAX) {
            length if length <= BODY_BYTES_MAX => Ok(length),
            _ => {
                let error = format!("the body is announced as {text:.20} bytes");
                Err(Refusal::new(413, error, "at most 65536 bytes"))
            }
        }
    }

    fn keep_alive(&self, is_1_1: bool) -> bool {
        let has = |wanted: &str| {
            self.all("connection").any(|value| {
                value
                    .split(|b| *b == b',')
                    .any(|word| word.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
            })
        };
        !has("close") && (is_1_1 || has("keep-alive"))
    }

    fn expects_continue(&self) -> Result<bool, Refusal> {
        match self.all("expect").next() {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(true),
            Some(_) => {
                Err(Refusal::new(417, "this expectation cannot be met", "Expect: 100-continue"))
            }
        }
    }

    fn forwarded(&self) -> Result<Vec<(&'static str, String)>, Refusal> {
        let mut kept = Vec::new();
        for name in FORWARDED {
            if let Some(text) = self.visible(name)? {
                kept.push((*name, text));
            }
        }
        Ok(kept)
    }

    /// The value of a header, which must be visible ASCII.
    fn visible(&self, name: &str) -> Result<Option<String>, Refusal> {
        // A repeated header says the same as one with commas (RFC 9110 section 5.3).
        let values: Vec<_> = self.all(name).collect();
        if values.is_empty() {
            return Ok(None);
        }
        let joined = values.join(&b", "[..]);
        let plain = joined.iter().all(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\t'));
        let text = String::from_utf8(joined).ok().filter(|_| plain);
        text.map(Some).ok_or_else(|| {
            Refusal::bad_request(&format!("the header '{name}' is not visible ASCII"))
        })
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
