//! Lines, fields and numbers of a kernel file; every complaint names file, line and item.

use std::fmt::Display;
use std::path::Path;
use std::str::SplitAsciiWhitespace;

use super::error::{CollectError, quote};

/// The text of a file and where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    path: &'a Path,
    text: &'a str,
}

/// One line of it.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    path: &'a Path,
    number: usize,
    text: &'a str,
    is_ended: bool,
}

impl<'a> Text<'a> {
    /// A text as if it had been read from `path`.
    #[must_use]
    pub fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Its lines, from 1.
    pub fn lines(&self) -> impl Iterator<Item = Line<'a>> + Clone + use<'a> {
        let path = self.path;
        self.text.split_inclusive('\n').enumerate().map(move |(index, with_end)| {
            let text = with_end.strip_suffix('\n').unwrap_or(with_end);
            Line { path, number: index + 1, text, is_ended: text.len() < with_end.len() }
        })
    }

    /// The only line of a file of one line, which must be whole.
    ///
    /// # Errors
    /// `Parse` when the kernel's closing newline is missing.
    pub fn whole_line(&self, item: &str) -> Result<Line<'a>, CollectError> {
        let nothing = Line { path: self.path, number: 1, text: "", is_ended: false };
        let line = self.lines().next().unwrap_or(nothing);
        line.require_end(item)?;
        Ok(line)
    }

    /// A complaint about the file as a whole.
    #[must_use]
    pub fn fault(&self, item: &str, expected: &'static str) -> CollectError {
        let path = self.path.to_owned();
        let found = String::new();
        CollectError::Parse { path, line: 0, item: item.to_owned(), expected, found }
    }
}

impl<'a> Line<'a> {
    /// Without its newline.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// What stands between blanks.
    #[must_use]
    pub fn fields(&self) -> SplitAsciiWhitespace<'a> {
        self.text.split_ascii_whitespace()
    }

    /// A complaint about this line.
    #[must_use]
    pub fn fault(&self, item: impl Display, expected: &'static str, found: &str) -> CollectError {
        CollectError::Parse {
            path: self.path.to_owned(),
            line: self.number,
            item: item.to_string(),
            expected,
            found: quote(found),
        }
    }

    /// A line without its newline is torn: its last number may have lost digits.
    ///
    /// # Errors
    /// `Parse` when the newline is missing.
    pub fn require_end(&self, item: impl Display) -> Result<(), CollectError> {
        if self.is_ended {
            return Ok(());
        }
        Err(self.fault(item, "a line that ends with a newline", self.text))
    }

    /// A field as a whole number, digits only.
    ///
    /// # Errors
    /// `Parse` when the field is absent, holds anything else, or exceeds 64 bits.
    pub fn unsigned(&self, field: Option<&str>, item: impl Display) -> Result<u64, CollectError> {
        const EXPECTED: &str = "a whole number of at most 64 bits";
        let field = field.unwrap_or_default();
        // `parse` alone would take "+5".
        let digits = field.bytes().all(|byte| byte.is_ascii_digit());
        match field.parse() {
            Ok(number) if digits => Ok(number),
            _ => Err(self.fault(item, EXPECTED, field)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(field: &str) -> Result<u64, String> {
        let text = Text::new(Path::new("proc/x"), "first\nsecond\n");
        let line = text.lines().nth(1).unwrap();
        line.unsigned(Some(field), "things").map_err(|error| error.to_string())
    }

    #[test]
    fn reads_whole_numbers_and_nothing_else() {
        assert_eq!(number("18446744073709551615"), Ok(u64::MAX));
        for bad in ["18446744073709551616", "", "-1", "+1", "1.0", "0x1", "1e3", "\u{663}"] {
            let words = number(bad).unwrap_err();
            assert!(words.starts_with("proc/x:2: things: expected a whole number"), "{words}");
        }
        assert!(number("").unwrap_err().ends_with("found nothing"));
        assert!(number(&"9".repeat(500)).unwrap_err().len() < 150);
    }

    #[test]
    fn a_line_without_its_end_is_torn() {
        let text = Text::new(Path::new("proc/x"), "whole 1\ntorn 12");
        let ends: Vec<_> = text.lines().map(|line| line.require_end("torn").is_ok()).collect();
        assert_eq!(ends, [true, false]);
        assert_eq!(text.whole_line("x").unwrap().as_str(), "whole 1");
    }
}
