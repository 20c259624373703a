//! Queries: `name=value&...`, percent-decoded, with no names but the expected ones. What
//! `/api/query` asks with them: `query/past.rs`.

pub(crate) mod past;
pub(crate) mod time;

use super::gate::Refusal;
use crate::identity;
use crate::metric::HostName;

/// The parameters of one request, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query whose names must be among `names`.
    ///
    /// # Errors
    /// 400 with the parameter that is not expected, or cannot be decoded.
    pub(crate) fn parse(text: &str, names: &'static [&'static str]) -> Result<Self, Refusal> {
        let expected = || match names {
            [] => "no parameters".to_owned(),
            names => format!("only these parameters: {}", names.join(", ")),
        };
        let mut pairs = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (Some(name), Some(value)) = (decode(name, true), decode(value, true)) else {
                let error = format!("'{part:.64}' is not percent-encoded UTF-8");
                return Err(Refusal::new(400, error, expected()));
            };
            if !names.contains(&name.as_str()) {
                let error = format!("'{name:.64}' is not a parameter of this path");
                return Err(Refusal::new(400, error, expected()));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The last value of a name.
    pub(crate) fn last(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// Every value of a name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

/// Undoes percent-encoding, and `+` for a space where `plus` says so.
pub(crate) fn decode(text: &str, plus: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A host as somebody asked for it.
pub(crate) fn host(text: &str) -> Result<HostName, Refusal> {
    identity::host_name(text).map_err(|words| Refusal::new(400, words, "the name of a host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_expected_and_says_what_is_not() {
        let query = Query::parse("host=a&host=b%2e%63&summary=1&", &["host", "summary"]).unwrap();
        assert_eq!(query.all("host").collect::<Vec<_>>(), ["a", "b.c"]);
        assert_eq!((query.last("summary"), query.last("other")), (Some("1"), None));
        for bad in ["hots=a", "host=%", "host=%4", "host=%zz", "host=%ff", "host=%+1"] {
            let refusal = Query::parse(bad, &["host"]).unwrap_err();
            assert_eq!(refusal.status, 400);
            assert!(refusal.expected.contains("host"), "{refusal:?}");
        }
        assert!(host("no/host").is_err());
        assert_eq!(&*host("Web-1").unwrap(), "web-1");
    }
}
