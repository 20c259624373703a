//! Rows as they come, and all of them as markdown at the end.

use std::fmt::Write as _;

/// What has been measured so far.
#[derive(Default)]
pub struct Table {
    current: &'static str,
    rows: Vec<[String; 3]>,
    notes: Vec<String>,
    failures: Vec<String>,
}

impl Table {
    /// The rows that follow belong to this measurement.
    pub fn begin(&mut self, name: &'static str) {
        self.current = name;
    }

    /// One row; printed at once, so that progress can be seen.
    pub fn row(&mut self, what: &str, measured: impl Into<String>, goal: &str) {
        let row = [format!("{}: {what}", self.current), measured.into(), goal.to_owned()];
        eprintln!("   {} = {}{}", row[0], row[1], in_brackets("goal", goal));
        self.rows.push(row);
    }

    /// A sentence under the table: what else was measured that explains a figure.
    pub fn note(&mut self, text: impl Into<String>) {
        let note = format!("{}: {}", self.current, text.into());
        eprintln!("   {note}");
        self.notes.push(note);
    }

    /// The measurement could not be made.
    pub fn failed(&mut self, words: &str) {
        let failure = format!("{}: not measured: {words}", self.current);
        eprintln!("   {failure}");
        self.failures.push(failure);
    }

    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// The table with its notes.
    pub fn markdown(&self) -> String {
        let mut out = String::from("| what | measured | goal |\n|---|---|---|\n");
        for row in &self.rows {
            let _ = writeln!(out, "| {} |", row.join(" | "));
        }
        for note in self.notes.iter().chain(&self.failures) {
            let _ = write!(out, "\n- {note}");
        }
        out
    }
}

fn in_brackets(word: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({word} {text})") }
}
