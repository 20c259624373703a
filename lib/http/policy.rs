//! Under which names the gate may be called, and by whose pages; where it may listen says
//! [`identity`](crate::identity::check_listen).
//!
//! A page of another site can make a browser send requests here under that site's own name (DNS
//! rebinding): the name then resolves to this machine, and the browser believes both to be one
//! site. So a request is answered only when its `Host` is a name that is ours:
//!
//! - `localhost`, `127.x.x.x` and `[::1]`;
//! - the address that the gate listens on;
//! - the configured public names;
//! - when listening on every address (`0.0.0.0`, `[::]`): any literal IP address. A literal cannot
//!   be rebound, because no name was looked up; which addresses the machine has changes at run
//!   time, and behind a port forward it is not one of its own at all.
//!
//! And under which origins something may be changed (`DELETE`). A page of another site cannot even
//! send such a request: it has to ask first (`OPTIONS`, the preflight of the Fetch standard), which
//! is answered 405 without a word of CORS. Should a browser or a plug-in send it all the same, it
//! says whose page asked: an `Origin` that is not this very site, or none at all (`null`: a sandbox,
//! a file), is refused. A program that is no browser says none, and is not driven by pages.

use std::net::IpAddr;

/// The names under which the gate answers.
#[derive(Debug, Clone)]
pub struct KnownNames {
    any_literal: bool,
    listen: IpAddr,
    public_names: Vec<String>,
}

impl KnownNames {
    /// The names for a listener at `listen`; `public_names` without port, in any case.
    #[must_use]
    pub fn new(listen: IpAddr, public_names: &[String]) -> Self {
        let listen = listen.to_canonical();
        let public_names = public_names.iter().map(|name| normalized(name).to_owned()).collect();
        Self { any_literal: listen.is_unspecified(), listen, public_names }
    }

    /// Whether the value of a `Host` header is one of ours; its port does not matter.
    #[must_use]
    pub fn contains(&self, host_header: &str) -> bool {
        let Some(name) = name_of(host_header) else { return false };
        let name = normalized(name);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(literal) = bare.parse::<IpAddr>() {
            let literal = literal.to_canonical();
            if literal.is_loopback() || literal == self.listen || self.any_literal {
                return true;
            }
        }
        name == "localhost" || self.public_names.contains(&name)
    }

    /// Whether a page of this origin may change something here that it calls `host_header`: it is
    /// the same site, or one of the public names, behind which a proxy may have put another name
    /// into `Host`. Another program's page on this machine has another port, and may not.
    #[must_use]
    pub fn allows_origin(&self, origin: &str, host_header: &str) -> bool {
        let Some((scheme, site)) = origin.split_once("://") else { return false };
        if !matches!(scheme, "http" | "https") || !self.contains(site) {
            return false;
        }
        let name = name_of(site).map(normalized).unwrap_or_default();
        site.eq_ignore_ascii_case(host_header) || self.public_names.contains(&name)
    }

    /// For the refusal: what would be right.
    #[must_use]
    pub fn expected(&self) -> String {
        let mut words = "localhost, 127.0.0.1, [::1]".to_owned();
        if self.any_literal {
            words.push_str(", an IP address of this machine");
        } else if !self.listen.is_loopback() {
            words.push_str(&format!(", {}", self.listen));
        }
        for name in &self.public_names {
            words.push_str(&format!(", {name}"));
        }
        words.push_str("; --public-name adds one");
        words
    }
}

/// The host part of `host`, `host:port`, `[v6]` or `[v6]:port`.
fn name_of(header: &str) -> Option<&str> {
    let is_port = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = header.strip_prefix('[') {
        let (_, after) = rest.split_once(']')?;
        let fine = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        return fine.then(|| &header[..header.len() - after.len()]);
    }
    match header.split_once(':') {
        None => Some(header),
        Some((name, port)) => is_port(port).then_some(name),
    }
}

/// Lower case, without the dot that ends a fully qualified name.
fn normalized(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listen: &str, public: &[&str], known: &[&str], unknown: &[&str]) {
        let public: Vec<String> = public.iter().map(|name| (*name).to_owned()).collect();
        let names = KnownNames::new(listen.parse().unwrap(), &public);
        for name in known {
            assert!(names.contains(name), "{name} should be known");
        }
        for name in unknown {
            assert!(!names.contains(name), "{name} should be unknown");
        }
    }

    #[test]
    fn a_rebound_name_is_unknown() {
        let ours = ["localhost", "LocalHost:8003", "localhost.", "127.0.0.1:80", "[::1]:8003"];
        let others =
            ["evil.example", "localhost.evil.example", "10.0.0.1", "", ":80", "[::1", "a:b"];
        check("127.0.0.1", &[], &ours, &others);
        check("10.0.0.1", &["Mon.Example."], &["mon.example:443", "10.0.0.1:8003"], &["10.0.0.2"]);
    }

    #[test]
    fn only_our_own_pages_change_something() {
        let names = KnownNames::new("127.0.0.1".parse().unwrap(), &["mon.example".to_owned()]);
        for (origin, host) in [
            ("http://localhost:8003", "localhost:8003"),
            ("http://LOCALHOST:8003", "localhost:8003"),
            ("http://[::1]:9", "[::1]:9"),
            ("https://mon.example", "localhost:8003"),
            ("https://mon.example", "mon.example"),
        ] {
            assert!(names.allows_origin(origin, host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("null", "localhost:8003"),
            ("", "localhost:8003"),
            ("http://evil.example", "localhost:8003"),
            // A rebound name never gets here; were it to, it is still not ours.
            ("http://evil.example", "evil.example"),
            ("http://localhost:3000", "localhost:8003"),
            ("http://127.0.0.1:8003", "localhost:8003"),
            ("http://localhost:8003, http://evil.example", "localhost:8003"),
            ("http://evil.example/localhost:8003", "localhost:8003"),
            ("http://localhost:8003@evil.example", "localhost:8003"),
            ("file://localhost:8003", "localhost:8003"),
            ("https://mon.example.evil.example", "mon.example"),
        ] {
            assert!(!names.allows_origin(origin, host), "{origin} at {host}");
        }
    }

    #[test]
    fn listening_everywhere_takes_any_literal_but_no_name() {
        let literals = ["192.168.7.7:8003", "[2001:db8::1]:8003", "localhost"];
        check("0.0.0.0", &[], &literals, &["evil.example", "192.168.7.7.evil.example"]);
        check("::", &["mon"], &["192.168.7.7", "mon"], &["evil.example"]);
    }
}
