//! The delta form gives back bit for bit what went in, and refuses what cannot be.

use crate::base::dice::Dice;
use protobuf::Message;

use super::*;

const OWN: SessionId = SessionId(7);

fn frame(seq: u64, samples: Samples) -> Frame {
    Frame {
        session: OWN,
        seq,
        elapsed_us: seq * 1_000_003,
        time_ms: 1_700_000_000_000 + seq * 1_000,
        uncertainty_ms: 2,
        host_time_ms: 1_700_000_000_000 + seq * 1_000 - 40_000,
        interval_ms: 1_000,
        sent_ms: 1_700_000_000_000 + seq * 1_000 + 3,
        samples,
    }
}

fn samples(values: &[(&str, Value)]) -> Samples {
    values.iter().map(|(key, value)| (SeriesKey::plain(key), *value)).collect()
}

fn same(a: &Frame, b: &Frame) -> bool {
    let bits = |value: &Value| match value {
        Value::Unsigned(value) => (0, *value),
        Value::Float(value) => (1, value.to_bits()),
    };
    let values = |frame: &Frame| frame.samples.values.iter().map(bits).collect::<Vec<_>>();
    a == b && values(a) == values(b)
}

/// Through real bytes, as gRPC would carry them.
fn carry(frame: &proto::Frame) -> proto::Frame {
    proto::Frame::parse_from_bytes(&frame.write_to_bytes().unwrap()).unwrap()
}

#[test]
fn any_sequence_of_frames_comes_back_as_it_was() {
    for seed in 1..60 {
        let mut dice = Dice::new(seed * 104_729);
        let (mut encoder, mut decoder) = (FrameEncoder::new(OWN), FrameDecoder::new(OWN, &[]));
        let names: Vec<String> = (0..20).map(|n| format!("metric_{n}")).collect();
        let mut last: Option<Samples> = None;
        for seq in 1..80 {
            let reuse = last.clone().filter(|_| dice.below(3) > 0);
            let layout = reuse.map_or_else(
                || {
                    names
                        .iter()
                        .filter(|_| dice.below(4) > 0)
                        .map(|n| SeriesKey::plain(n))
                        .collect()
                },
                |samples| samples.layout,
            );
            let values = layout.iter().map(|_| any_value(&mut dice)).collect();
            let sent = frame(seq, Samples { layout, values });
            let got = decoder.decode(carry(&encoder.encode(&sent).unwrap())).unwrap();
            assert!(same(&sent, &got), "seed {seed}: {sent:?} came back as {got:?}");
            last = Some(sent.samples);
        }
    }
}

fn any_value(dice: &mut Dice) -> Value {
    match dice.below(7) {
        0 => Value::Unsigned(dice.below(1_000)),
        1 => Value::Unsigned(u64::MAX - dice.below(3)),
        2 => Value::Float(dice.below(10_000_000) as f64 / 100.0),
        3 => Value::Float(-(dice.below(10_000_000) as f64) / 1_000.0),
        4 => Value::Float(0.1 + 0.2),
        5 => Value::Float(-0.0),
        _ => Value::Float(f64::MAX),
    }
}

#[test]
fn steady_state_costs_about_two_bytes_a_sample() {
    let names: Vec<String> = (0..60).map(|n| format!("disk_read_bytes_total_{n}")).collect();
    let layout: Layout = names.iter().map(|n| SeriesKey::plain(n)).collect();
    let mut encoder = FrameEncoder::new(OWN);
    let mut bytes = 0;
    for seq in 1..=10 {
        let values = (0..60_u64).map(|n| Value::Unsigned(1_000_000 * n + seq * (n % 3) * 900));
        let samples = Samples { layout: layout.clone(), values: values.collect() };
        bytes = encoder.encode(&frame(seq, samples)).unwrap().compute_size();
    }
    assert!(bytes <= 60 * 2 + 40, "{bytes} bytes for 60 samples");
}

#[test]
fn frames_of_an_earlier_session_are_taken_only_when_hello_named_it() {
    let mut sent = frame(5, samples(&[("x", Value::Unsigned(1))]));
    sent.session = SessionId(9);
    let encoded = FrameEncoder::new(OWN).encode(&sent).unwrap();
    let got = FrameDecoder::new(OWN, &[SessionId(9)]).decode(encoded.clone()).unwrap();
    assert_eq!(got, sent);
    assert!(FrameDecoder::new(OWN, &[]).decode(encoded).unwrap_err().0.contains("Hello"));
}

#[track_caller]
fn refused(change: impl Fn(&mut proto::Frame), expected: &str) {
    let sent = frame(1, samples(&[("a", Value::Unsigned(1)), ("b", Value::Float(1.0 / 3.0))]));
    let mut encoded = FrameEncoder::new(OWN).encode(&sent).unwrap();
    assert!(FrameDecoder::new(OWN, &[]).decode(encoded.clone()).is_ok());
    change(&mut encoded);
    let words = FrameDecoder::new(OWN, &[]).decode(encoded).unwrap_err().0;
    assert!(words.contains(expected), "{words}");
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    refused(|frame| frame.seq = 0, "start at 1");
    refused(|frame| frame.layout = 3, "layout 3 not announced");
    refused(|frame| frame.session = vec![1, 2], "2 bytes");
    refused(|frame| frame.deltas.clear(), "fewer values");
    refused(|frame| frame.deltas.push(1), "more values");
    refused(|frame| frame.doubles[0] = f64::NAN, "finite");
    refused(|frame| frame.series[0].key = "no series".into(), "not a series");
    refused(|frame| frame.series[0].key = "x".repeat(2_000), "1024 bytes");
    refused(|frame| frame.new_layout.as_mut().unwrap().series = vec![0, 0], "twice");
    refused(
        |frame| frame.new_layout.as_mut().unwrap().series = vec![0, 8],
        "series 8 not announced",
    );
}

#[test]
fn mutated_bytes_never_panic() {
    let sent = frame(1, samples(&[("a", Value::Unsigned(9)), ("b", Value::Float(2.5))]));
    let bytes = FrameEncoder::new(OWN).encode(&sent).unwrap().write_to_bytes().unwrap();
    let mut dice = Dice::new(42);
    for _ in 0..20_000 {
        let mut broken = bytes.clone();
        for _ in 0..=dice.below(3) {
            let at = dice.below(broken.len() as u64) as usize;
            broken[at] = dice.next() as u8;
        }
        if let Ok(frame) = proto::Frame::parse_from_bytes(&broken) {
            let _ = FrameDecoder::new(OWN, &[]).decode(frame);
        }
    }
}
