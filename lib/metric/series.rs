//! One metric with its labels, and the values it takes.

use std::fmt;
use std::sync::Arc;

/// A series of one host, written canonically: `name`, or `name{a="x",b="y"}` with the labels
/// sorted by name and values escaped as OpenMetrics does (`\\`, `\"`, `\n`).
///
/// The text is the identity: two series are the same when their texts are. Cloning shares it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey(Arc<str>);

/// The series of a frame, in the order of its values; shared by all frames that have the same.
pub type Layout = Arc<[SeriesKey]>;

/// One reading. Integers stay integers, so that a 64-bit counter loses nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A counter or an amount as the kernel counts it.
    Unsigned(u64),
    /// Everything with a fraction or a sign. Never NaN nor infinite in a [`Samples`].
    ///
    /// [`Samples`]: crate::metric::Samples
    Float(f64),
}

impl SeriesKey {
    /// A series without labels.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// A series with labels, in any order.
    #[must_use]
    pub fn labelled(name: &str, labels: &[(&str, &str)]) -> Self {
        if labels.is_empty() {
            return Self::plain(name);
        }
        let mut sorted = labels.to_vec();
        sorted.sort_unstable();
        let mut text = String::with_capacity(name.len() + 16 * sorted.len());
        text.push_str(name);
        for (position, (label, value)) in sorted.iter().enumerate() {
            text.push(if position == 0 { '{' } else { ',' });
            text.push_str(label);
            text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    other => text.push(other),
                }
            }
            text.push('"');
        }
        text.push('}');
        Self(Arc::from(text))
    }

    /// Takes a text that came over the wire.
    ///
    /// # Errors
    /// What is wrong with it, when it is not the canonical form that the other constructors write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("'{text}' is not a series: {why}"));
        let name = text.split('{').next().unwrap_or_default();
        if !is_name(name, true) {
            return wrong("expected a metric name of letters, digits, '_' and ':'");
        }
        let Ok(labels) = labels_of(text) else {
            return wrong("expected {label=\"value\",...} after the name");
        };
        let pairs: Vec<_> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let canonical = Self::labelled(name, &pairs);
        if canonical.as_str() != text {
            return wrong("expected its labels sorted and escaped canonically");
        }
        Ok(canonical)
    }

    /// Reads labels as they stand between the braces of a canonical text, but in any order:
    /// `b="y",a="x"`. `None` when they are not written so.
    #[must_use]
    pub fn parse_labels(text: &str) -> Option<Vec<(String, String)>> {
        let text = format!("x{{{text}}}");
        let labels = labels_of(&text).ok()?;
        Some(labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The metric's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split('{').next().unwrap_or_default()
    }

    /// Label names and unescaped values, sorted by name.
    #[must_use]
    pub fn labels(&self) -> Vec<(&str, String)> {
        labels_of(&self.0).unwrap_or_default()
    }

    /// The value of one label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<String> {
        self.labels().into_iter().find(|(label, _)| *label == name).map(|(_, value)| value)
    }
}

impl fmt::Debug for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value {
    /// As a double, for arithmetic; above 2^53 an integer is rounded.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Unsigned(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

/// Metric names `[a-zA-Z_:][a-zA-Z0-9_:]*`, label names the same without the colon.
fn is_name(text: &str, colon: bool) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':');
    !text.is_empty() && text.chars().all(ok) && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// The labels of a canonical text; an error when it is not well formed.
fn labels_of(text: &str) -> Result<Vec<(&str, String)>, ()> {
    let Some(start) = text.find('{') else { return Ok(Vec::new()) };
    let mut rest = text[start + 1..].strip_suffix('}').ok_or(())?;
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or(())?;
        if !is_name(name, false) {
            return Err(());
        }
        let (value, after) = unescape_to_quote(after)?;
        labels.push((name, value));
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(labels),
            None => return Err(()),
        }
    }
}

/// The unescaped text up to the closing quote, and what follows it.
fn unescape_to_quote(text: &str) -> Result<(String, &str), ()> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match chars.next().ok_or(())?.1 {
                '\\' => '\\',
                '"' => '"',
                'n' => '\n',
                _ => return Err(()),
            }),
            other => value.push(other),
        }
    }
    Err(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_labels_sorted_and_escaped() {
        let key = SeriesKey::labelled("x_total", &[("b", "2"), ("a", "q\"\\\n,}")]);
        assert_eq!(key.as_str(), "x_total{a=\"q\\\"\\\\\\n,}\",b=\"2\"}");
        assert_eq!(key.name(), "x_total");
        assert_eq!(key.label("a").as_deref(), Some("q\"\\\n,}"));
        assert_eq!(key.label("c"), None);
        assert_eq!(SeriesKey::parse(key.as_str()).as_ref(), Ok(&key));
    }

    #[test]
    fn refuses_what_is_not_canonical() {
        for bad in [
            "",
            "1x",
            "x y",
            "x{",
            "x{}",
            "x{a}",
            "x{a=\"1\"",
            "x{a=\"1\",}",
            "x{b=\"1\",a=\"2\"}",
            "x{a=\"\\t\"}",
            "x{a=\"1\"}y",
            "x{1=\"1\"}",
        ] {
            assert!(SeriesKey::parse(bad).is_err(), "{bad}");
        }
    }
}
