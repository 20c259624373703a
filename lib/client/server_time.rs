//! What time it is on the server, and how far that can be off. Pure.
//!
//! A frame and the ack that echoes it carry four times: sent (t1, this host's monotonic clock),
//! received (t2, the server's), acknowledged (t3, the server's), ack received (t4, ours). From
//! them follow the offset of the clocks and a bound for its error, half of the round trip
//! (RFC 5905 section 8). Of the recent round trips the one with the tightest bound counts; bounds
//! widen with age, as two crystals drift apart.
//!
//! The estimate runs on the monotonic clock, so that nobody who sets this host's clock moves it.
//! It follows a new estimate slowly (500 ppm, as NTP does), except when it is more than 100 ms off
//! beyond doubt: then it steps, and the step is marked by a counter and a line in the log. It does
//! the same from server to server.

use std::collections::VecDeque;

/// Uncertainty of a frame that was sampled before any server had answered: its time is the host's
/// own clock, about which nothing is known.
pub const UNCERTAINTY_UNKNOWN_MS: u32 = u32::MAX;

/// How many round trips are kept: at one ack every five seconds, those of the last 40 s.
const TRIPS_MAX: usize = 8;

/// How far two crystals drift apart: 50 us in a second is beyond what boards ship with.
const DRIFT_PPM: u64 = 50;

/// How fast the estimate follows a better one.
const SLEW_PPM: u64 = 500;

/// From here on, and from what is doubtful, the estimate steps instead; also how far the host's own clock may move against
/// the monotonic one before something has happened to either (set by hand, or a suspended host).
const STEP_US: u64 = 100_000;

/// The four times of one round trip, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTrip {
    /// When the client sent, by its monotonic clock.
    pub sent_us: u64,
    /// When the server received that, by its wall clock (Unix).
    pub server_received_us: u64,
    /// When the server answered, by its wall clock (Unix).
    pub server_sent_us: u64,
    /// When the answer came, by the client's monotonic clock.
    pub received_us: u64,
}

/// A time on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Unix microseconds by the server's clock; by the host's own before any estimate.
    pub unix_us: u64,
    /// How far that can be off, rounded up; [`UNCERTAINTY_UNKNOWN_MS`] before any estimate.
    pub uncertainty_ms: u32,
}

/// What an observation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// Its times contradict each other; it was not used.
    Refused,
    /// The estimate follows smoothly.
    Followed,
    /// The first one: from now on there is an estimate.
    First,
    /// The estimate jumped by so many microseconds.
    Stepped(i64),
}

/// The estimator.
#[derive(Debug, Default)]
pub struct ServerTime {
    trips: VecDeque<Trip>,
    following: Option<Following>,
}

/// One round trip, reduced to what it says.
#[derive(Debug, Clone, Copy)]
struct Trip {
    /// Server's clock less our monotonic one.
    offset_us: i64,
    bound_us: u64,
    at_us: u64,
    /// Our own wall clock less our monotonic one at that time.
    own_offset_us: i64,
}

/// The offset in use moves from one value to another, from one moment on.
#[derive(Debug, Clone, Copy)]
struct Following {
    from_us: i64,
    to_us: i64,
    since_us: u64,
}

impl ServerTime {
    /// Nothing known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another server answers from now on: what was measured of the last one no longer counts,
    /// but the estimate stays until there is a better one.
    pub fn new_server(&mut self) {
        self.trips.clear();
    }

    /// Takes one round trip in; `wall_us` is the host's own clock now.
    pub fn observe(&mut self, trip: RoundTrip, wall_us: u64) -> Observed {
        let Some(new) = Trip::of(trip, wall_us) else { return Observed::Refused };
        let now_us = trip.received_us;
        // Both bounds cannot be right when they do not overlap: a clock was set, so the old go.
        self.trips.retain(|old| {
            let room = old.bound_at(now_us, wall_us) + new.bound_us;
            old.offset_us.abs_diff(new.offset_us) <= room
        });
        if self.trips.len() == TRIPS_MAX {
            self.trips.pop_front();
        }
        self.trips.push_back(new);
        let best = *self.best(now_us, wall_us).unwrap_or(&new);
        let best_us = best.offset_us;
        let Some(following) = self.following else {
            let settled = Following { from_us: best_us, to_us: best_us, since_us: now_us };
            self.following = Some(settled);
            return Observed::First;
        };
        let in_use_us = following.offset_us(now_us);
        let off_us = best_us - in_use_us;
        // The Welcome of a server that everybody turns to at once may be late by more than that,
        // and all of it on one way; the next ack knows better.
        let steps = off_us.unsigned_abs() > STEP_US.saturating_add(best.bound_at(now_us, wall_us));
        let from_us = if steps { best_us } else { in_use_us };
        self.following = Some(Following { from_us, to_us: best_us, since_us: now_us });
        if steps { Observed::Stepped(off_us) } else { Observed::Followed }
    }

    /// The server's time now, given both clocks of the host.
    #[must_use]
    pub fn read(&self, monotonic_us: u64, wall_us: u64) -> Reading {
        let Some(following) = self.following else {
            return Reading { unix_us: wall_us, uncertainty_ms: UNCERTAINTY_UNKNOWN_MS };
        };
        let offset_us = following.offset_us(monotonic_us);
        let unix_us = monotonic_us.saturating_add_signed(offset_us);
        // Between a lost server and the first answer of the next one no bound is known.
        let uncertainty_ms =
            self.best(monotonic_us, wall_us).map_or(UNCERTAINTY_UNKNOWN_MS, |trip| {
                let off_us =
                    trip.bound_at(monotonic_us, wall_us) + trip.offset_us.abs_diff(offset_us);
                u32::try_from(off_us.div_ceil(1_000)).unwrap_or(UNCERTAINTY_UNKNOWN_MS)
            });
        Reading { unix_us, uncertainty_ms }
    }

    fn best(&self, monotonic_us: u64, wall_us: u64) -> Option<&Trip> {
        self.trips.iter().min_by_key(|trip| trip.bound_at(monotonic_us, wall_us))
    }
}

impl Trip {
    /// `None` when the times contradict each other.
    fn of(trip: RoundTrip, wall_us: u64) -> Option<Self> {
        let away_us = trip.received_us.checked_sub(trip.sent_us)?;
        let held_us = trip.server_sent_us.checked_sub(trip.server_received_us)?;
        // The server may have held it a little longer than we waited, by its own crystal.
        let held_off_us = held_us.saturating_mul(DRIFT_PPM) / 1_000_000 + 1;
        let travelled_us = away_us.saturating_add(held_off_us).checked_sub(held_us)?;
        let there = signed(trip.server_received_us)? - signed(trip.sent_us)?;
        let back = signed(trip.server_sent_us)? - signed(trip.received_us)?;
        Some(Self {
            offset_us: there.midpoint(back),
            bound_us: travelled_us / 2 + held_off_us + 1,
            at_us: trip.received_us,
            own_offset_us: signed(wall_us)? - signed(trip.received_us)?,
        })
    }

    fn bound_at(&self, monotonic_us: u64, wall_us: u64) -> u64 {
        let age_us = monotonic_us.saturating_sub(self.at_us);
        let drift_us = age_us.saturating_mul(DRIFT_PPM).div_ceil(1_000_000);
        // A suspended host's monotonic clock stood still; one whose clock was set looks the same
        // from here, and pays with a wide bound until the next ack.
        let own_us = signed(wall_us).unwrap_or(0) - signed(monotonic_us).unwrap_or(0);
        let moved_us = own_us.abs_diff(self.own_offset_us);
        let moved_us = if moved_us > STEP_US { moved_us } else { 0 };
        self.bound_us.saturating_add(drift_us).saturating_add(moved_us)
    }
}

impl Following {
    fn offset_us(&self, monotonic_us: u64) -> i64 {
        let elapsed_us = monotonic_us.saturating_sub(self.since_us);
        let limit_us = elapsed_us.saturating_mul(SLEW_PPM) / 1_000_000;
        let limit_us = i64::try_from(limit_us).unwrap_or(i64::MAX);
        self.from_us + (self.to_us - self.from_us).clamp(-limit_us, limit_us)
    }
}

/// Times are below 2^62 us (146,000 years) or they are nonsense.
fn signed(us: u64) -> Option<i64> {
    i64::try_from(us).ok().filter(|us| *us < 1 << 62)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::dice::Dice;

    const EPOCH_US: u64 = 1_700_000_000_000_000;

    /// A round trip with `out_us` on the way there, `held_us` at the server, `back_us` on the way
    /// back, the server's clock being `offset_us` ahead of our monotonic one.
    fn trip(sent_us: u64, offset_us: u64, out_us: u64, held_us: u64, back_us: u64) -> RoundTrip {
        let received_us = sent_us + out_us + held_us + back_us;
        RoundTrip {
            sent_us,
            server_received_us: sent_us + out_us + offset_us,
            server_sent_us: sent_us + out_us + held_us + offset_us,
            received_us,
        }
    }

    #[test]
    fn before_any_answer_it_is_the_hosts_own_clock_and_unknown() {
        let reading = ServerTime::new().read(5, EPOCH_US);
        assert_eq!(reading, Reading { unix_us: EPOCH_US, uncertainty_ms: UNCERTAINTY_UNKNOWN_MS });
    }

    #[test]
    fn the_smallest_round_trip_counts() {
        let mut time = ServerTime::new();
        assert_eq!(time.observe(trip(0, EPOCH_US, 200, 0, 200), 400), Observed::First);
        assert_eq!(time.read(400, 400), Reading { unix_us: EPOCH_US + 400, uncertainty_ms: 1 });
        // A slow and lopsided way back would be 20 ms off; it is not believed.
        assert_eq!(time.observe(trip(1_000, EPOCH_US, 0, 0, 40_000), 41_000), Observed::Followed);
        assert_eq!(time.read(41_000, 41_000).unix_us, EPOCH_US + 41_000);
    }

    #[test]
    fn it_follows_slowly_and_steps_when_far_off() {
        let mut time = ServerTime::new();
        time.observe(trip(0, EPOCH_US, 100, 0, 100), 200);
        time.new_server();
        let ahead_us = 50_000;
        let observed = time.observe(trip(1_000, EPOCH_US + ahead_us, 100, 0, 100), 1_200);
        assert_eq!(observed, Observed::Followed);
        assert_eq!(
            time.read(1_200, 1_200),
            Reading { unix_us: EPOCH_US + 1_200, uncertainty_ms: 51 }
        );
        let later_us = 10_001_200;
        assert_eq!(time.read(later_us, later_us).unix_us, EPOCH_US + later_us + 5_000, "500 ppm");
        assert_eq!(time.read(500_001_200, 500_001_200).unix_us, EPOCH_US + 500_001_200 + ahead_us);
        let jump = trip(600_000_000, EPOCH_US - 7_000_000, 100, 0, 100);
        assert_eq!(time.observe(jump, 600_000_200), Observed::Stepped(-7_050_000));
        assert_eq!(time.read(600_000_200, 600_000_200).unix_us, EPOCH_US - 7_000_000 + 600_000_200);
    }

    #[test]
    fn setting_the_hosts_clock_moves_nothing_and_widens_the_bound_until_the_next_ack() {
        let mut time = ServerTime::new();
        time.observe(trip(0, EPOCH_US, 100, 0, 100), EPOCH_US);
        let reading = time.read(1_000_200, EPOCH_US + 3_601_000_000);
        assert_eq!(reading.unix_us, EPOCH_US + 1_000_200);
        assert!((3_600_000..3_600_010).contains(&reading.uncertainty_ms), "{reading:?}");
        time.observe(trip(2_000_000, EPOCH_US, 100, 0, 100), EPOCH_US + 3_602_000_000);
        assert_eq!(time.read(2_000_200, EPOCH_US + 3_602_000_000).uncertainty_ms, 1);
    }

    #[test]
    fn contradictions_are_refused() {
        let mut time = ServerTime::new();
        let good = trip(1_000, EPOCH_US, 10, 10, 10);
        for bad in [
            RoundTrip { received_us: 0, ..good },
            RoundTrip { server_sent_us: good.server_received_us - 1, ..good },
            RoundTrip { server_sent_us: good.server_received_us + 5_000, ..good },
            RoundTrip { server_sent_us: u64::MAX, server_received_us: u64::MAX, ..good },
        ] {
            assert_eq!(time.observe(bad, 0), Observed::Refused, "{bad:?}");
        }
        assert_eq!(time.read(1, 2).unix_us, 2);
    }

    #[test]
    fn the_truth_is_always_within_the_bound() {
        for seed in 1..=200 {
            let (mut dice, mut time) = (Dice::new(seed), ServerTime::new());
            // The server's crystal runs up to 40 ppm fast or slow against ours.
            let drift_ppm = dice.below(80) as i64 - 40;
            let mut server_offset = dice.below(1 << 40) as i64;
            let truth = |now_us: u64, offset: i64| {
                (now_us as i64 + now_us as i64 * drift_ppm / 1_000_000 + offset) as u64
            };
            let mut now_us = 1_000;
            for round in 0..200 {
                if dice.below(40) == 0 {
                    time.new_server();
                    server_offset += dice.below(400_000) as i64 - 200_000;
                } else {
                    let (out, held, back) =
                        (dice.below(30_000), dice.below(5_000_000), dice.below(30_000));
                    let sent_us = now_us;
                    now_us += out + held + back;
                    let observed = RoundTrip {
                        sent_us,
                        server_received_us: truth(sent_us + out, server_offset),
                        server_sent_us: truth(sent_us + out + held, server_offset),
                        received_us: now_us,
                    };
                    assert_ne!(time.observe(observed, now_us), Observed::Refused, "seed {seed}");
                }
                now_us += dice.below(10_000_000);
                let got = time.read(now_us, now_us);
                let off_us = got.unix_us.abs_diff(truth(now_us, server_offset));
                let known = time.following.is_some() && got.uncertainty_ms < u32::MAX;
                assert!(
                    !known || off_us <= u64::from(got.uncertainty_ms) * 1_000,
                    "seed {seed}, round {round}: off by {off_us} us, said {} ms",
                    got.uncertainty_ms
                );
            }
        }
    }
}
