//! What a client says when it stops: which frames nobody has acknowledged, and where they are.

use super::shared::Shared;
use crate::metric::SeqRange;

/// Says what was left, exactly.
pub(super) fn report(shared: &Shared, is_kept: bool) -> String {
    let (account, left) = {
        let buffer = shared.buffer();
        (buffer.account(), buffer.waiting_ranges())
    };
    let session = shared.session;
    if left.is_empty() {
        let words = format!("nothing left: {} frames acknowledged", account.acked);
        log::info!("{words}, session {session}");
        return words;
    }
    let (ranges, waiting) = (list(&left), account.waiting);
    if is_kept {
        let words = format!(
            "kept in the spool for the next run: frames {ranges} ({waiting}) of session \
                 {session}"
        );
        log::info!("{words}");
        return words;
    }
    let words = format!("left unacknowledged: frames {ranges} ({waiting}) of session {session}");
    log::warn!("{words}");
    words
}

/// `120-134, 140`.
fn list(ranges: &[SeqRange]) -> String {
    let words: Vec<String> = ranges
        .iter()
        .map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") })
        .collect();
    words.join(", ")
}
