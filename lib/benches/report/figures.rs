//! Numbers for people: medians with their spread, units that fit.

use std::time::{Duration, Instant};

/// The middle value; the mean of the two middle ones of an even number.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// `0.061 % (0.055 to 0.070)`: the median of several, the lowest and the highest.
pub fn spread(values: &[f64], unit: &str) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{} {unit} ({} to {})", digits(median(values)), digits(low), digits(high))
}

/// Three significant digits, thousands separated; never an exponent.
pub fn digits(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let magnitude = value.abs();
    if magnitude >= 1_000.0 {
        // Beyond three digits the rest is noise.
        let unit = 10_f64.powf(magnitude.log10().floor() - 2.0);
        return thousands((value / unit).round() * unit);
    }
    let decimals = match magnitude {
        m if m >= 99.95 => 0,
        m if m >= 9.995 => 1,
        m if m >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

fn thousands(value: f64) -> String {
    let text = format!("{:.0}", value.abs());
    let mut out = String::new();
    for (at, digit) in text.chars().enumerate() {
        if at > 0 && (text.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if value < 0.0 { format!("-{out}") } else { out }
}

/// `5.8 MB`, in powers of ten.
pub fn bytes(count: f64) -> String {
    match count.abs() {
        c if c >= 1e9 => format!("{} GB", digits(count / 1e9)),
        c if c >= 1e6 => format!("{} MB", digits(count / 1e6)),
        c if c >= 1e3 => format!("{} KB", digits(count / 1e3)),
        _ => format!("{} B", digits(count)),
    }
}

/// `1.25 M`: how many a second.
pub fn millions(count: f64) -> String {
    format!("{} M", digits(count / 1e6))
}

/// Nanoseconds that one call takes, of nine rounds of about 50 ms each.
pub fn time_ns(mut call: impl FnMut()) -> Vec<f64> {
    const ROUNDS: usize = 9;
    const ROUND: Duration = Duration::from_millis(50);
    let mut calls = 1_u32;
    // As many calls as fill a round; the doubling warms up, too.
    loop {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        if start.elapsed() >= ROUND / 2 {
            break;
        }
        calls *= 2;
    }
    let round = |_| {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    (0..ROUNDS).map(round).collect()
}
