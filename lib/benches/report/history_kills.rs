//! Fifty kills of analysis on one broker and topic, and whether anything was lost or doubled.

use std::time::Instant;

use super::figures::digits;
use super::settings::Settings;
use super::support::kills::{Survived, kill_again_and_again};
use super::table::Table;

const KILLS: u64 = 50;

/// `history-kills`
pub fn run(_settings: &Settings, table: &mut Table) -> Result<(), String> {
    let start = Instant::now();
    // It panics where anything is missing, and its words are above the table then.
    let Survived { sent, doubled, points, .. } = kill_again_and_again(KILLS);
    let kept: usize = points.values().map(std::collections::BTreeMap::len).sum();
    let words = format!(
        "0 missing, 0 counted twice of {sent} frames of {} hosts; {kept} points of 2 s as \
         the topic has them",
        points.len()
    );
    table.row(&format!("{KILLS} kills of analysis while it reads and writes"), words, "0, 0");
    table.note(format!(
        "SIGKILL every 0.9 to 2.4 s with --write-after 700ms, so that many commits fall between \
         two and kills into commits; compared with the topic as kcat reads it, by the ledger and \
         point by point by query, then once more after a restart; {doubled} frames stood twice \
         in the topic; {} s",
        digits(start.elapsed().as_secs_f64())
    ));
    Ok(())
}
