//! When the frames of a segment were: number, time since the session's start, time of day.
//!
//! A session ticks on a grid of its own, so of `elapsed_us` the tick is kept and how late it was.
//! The time of day is the same clock seen through an offset that hardly moves: it is kept as what
//! the offset does not tell, nearly always nothing.

use super::entropy::Unpacker;
use super::integers::{integers, put_integers};
use super::{Corrupt, UNSIGNED, part, put_part};
use crate::analysis::history::segment::Group;
use crate::analysis::live::bits::{Source, put_varint, unzigzag, zigzag};

/// What a grid is a multiple of: schedules are in milliseconds.
const GRID_US: u64 = 1_000;

/// Appends the frames of a group; at least one.
pub(in crate::analysis) fn put_times(out: &mut Vec<u8>, group: &Group) {
    put_part(out, |out| put_integers(out, UNSIGNED, &group.seq));
    let grid = Grid::of(&group.elapsed_us);
    let (ticks, late): (Vec<u64>, Vec<u64>) =
        group.elapsed_us.iter().map(|elapsed_us| grid.split(*elapsed_us)).unzip();
    put_varint(out, grid.step_us);
    put_varint(out, grid.phase_us);
    put_part(out, |out| put_integers(out, UNSIGNED, &ticks));
    put_part(out, |out| put_integers(out, UNSIGNED, &late));
    let offset_us = offset_us(group);
    put_varint(out, zigzag(offset_us));
    let rest = group.elapsed_us.iter().zip(&group.time_ms);
    let rest =
        rest.map(|(elapsed_us, time_ms)| time_ms.wrapping_sub(expected_ms(*elapsed_us, offset_us)));
    put_integers(out, UNSIGNED, &rest.collect::<Vec<_>>());
}

/// Reads back `count` frames from exactly these bytes.
///
/// # Errors
/// When no encoder wrote them, or for another count.
pub(in crate::analysis) fn times(
    bytes: &[u8],
    count: usize,
    unpacker: &mut Unpacker,
) -> Result<Group, Corrupt> {
    let mut source = Source::new(bytes);
    let seq = integers(part(&mut source)?, count, unpacker)?;
    let grid = Grid { step_us: source.varint(), phase_us: source.varint() };
    let ticks = integers(part(&mut source)?, count, unpacker)?;
    let late = integers(part(&mut source)?, count, unpacker)?;
    let offset_us = unzigzag(source.varint());
    let rest = integers(source.rest(), count, unpacker)?;
    let elapsed_us: Vec<u64> =
        ticks.into_iter().zip(late).map(|(tick, late)| grid.join(tick, late)).collect();
    let expected = elapsed_us.iter().map(|elapsed_us| expected_ms(*elapsed_us, offset_us));
    let time_ms = expected.zip(rest).map(|(expected, rest)| expected.wrapping_add(rest)).collect();
    Ok(Group { seq, time_ms, elapsed_us })
}

/// The ticks of a session: every `step_us`, and where in a step.
struct Grid {
    step_us: u64,
    phase_us: u64,
}

impl Grid {
    fn of(elapsed_us: &[u64]) -> Self {
        let mut steps: Vec<u64> =
            elapsed_us.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        steps.sort_unstable();
        let usual = steps.get(steps.len() / 2).copied().unwrap_or_default();
        let step_us = (usual.saturating_add(GRID_US / 2) / GRID_US).max(1).saturating_mul(GRID_US);
        // Half a step before the first frame: one that is early is not on the tick before.
        let first = elapsed_us.first().copied().unwrap_or_default();
        Self { step_us, phase_us: (first % step_us).wrapping_add(step_us / 2) % step_us }
    }

    /// Tick, and how long after it.
    fn split(&self, elapsed_us: u64) -> (u64, u64) {
        let since = elapsed_us.wrapping_sub(self.phase_us);
        (since / self.step_us, since % self.step_us)
    }

    fn join(&self, tick: u64, late: u64) -> u64 {
        tick.wrapping_mul(self.step_us).wrapping_add(late).wrapping_add(self.phase_us)
    }
}

/// What a time of day is expected to be.
fn expected_ms(elapsed_us: u64, offset_us: i64) -> u64 {
    elapsed_us.wrapping_add_signed(offset_us) / 1_000
}

/// The offset under which most times are as expected.
///
/// Each time allows the offsets of one millisecond. What all of them allow is exact; where the
/// clock was set or slewed in between, nothing is, and the middle of what the usual one allows is
/// as good as any.
fn offset_us(group: &Group) -> i64 {
    let times = group.time_ms.iter().zip(&group.elapsed_us);
    let least = |(time_ms, elapsed_us): (&u64, &u64)| {
        time_ms.saturating_mul(1_000).wrapping_sub(*elapsed_us) as i64
    };
    let mut leasts: Vec<i64> = times.map(least).collect();
    let (Some(low), Some(high)) = (leasts.iter().copied().min(), leasts.iter().copied().max())
    else {
        return 0;
    };
    if high.saturating_sub(low) < 1_000 {
        return low.saturating_add((high - low + 1_000) / 2);
    }
    let at = leasts.len() / 2;
    leasts.select_nth_unstable(at).1.saturating_add(500)
}
