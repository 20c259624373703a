//! Records come back as they were, read as documented, and never panic.

use super::*;
use crate::metric::{Samples, SeriesKey};
use crate::wire::message::{CatalogueMetric, ScheduleEntry};

const DOCUMENTED: &str = concat!(
    r#"{"v":1,"type":"frame","host":"web-1","session":"000000000000000000000000000000ff","seq":7,"#,
    r#""time_ms":1700000000000,"host_time_ms":1700000000002,"uncertainty_ms":1,"elapsed_us":6000123,"#,
    r#""interval_ms":1000,"sent_ms":1700000000003,"received_ms":1700000000004,"server":"s1","#,
    r#""samples":{"memory_available_bytes":18446744073709551615,"cpu_seconds_total{mode=\"user\"}":12.5}}"#,
);

fn frame_record() -> FrameRecord {
    let user = SeriesKey::labelled("cpu_seconds_total", &[("mode", "user")]);
    let samples: Samples = [
        (SeriesKey::plain("memory_available_bytes"), Value::Unsigned(u64::MAX)),
        (user, Value::Float(12.5)),
    ]
    .into_iter()
    .collect();
    FrameRecord {
        host: "web-1".into(),
        server: "s1".into(),
        received_ms: 1_700_000_000_004,
        clock_wrong: false,
        overtaken: false,
        frame: Frame {
            session: SessionId(255),
            seq: 7,
            elapsed_us: 6_000_123,
            time_ms: 1_700_000_000_000,
            uncertainty_ms: 1,
            host_time_ms: 1_700_000_000_002,
            interval_ms: 1_000,
            sent_ms: 1_700_000_000_003,
            samples,
        },
    }
}

#[test]
fn a_frame_is_written_as_documented_and_read_back() {
    let mut bytes = Vec::new();
    assert_eq!(encode_frame(&frame_record(), &mut bytes), 0);
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), DOCUMENTED);
    let record = RecordDecoder::new().decode(&bytes);
    assert_eq!(record, Ok(Record::Frame(Box::new(frame_record()))));
}

#[test]
fn frames_of_a_host_share_their_series() {
    let mut decoder = RecordDecoder::new();
    let mut layout = || match decoder.decode(DOCUMENTED.as_bytes()) {
        Ok(Record::Frame(record)) => record.frame.samples.layout,
        other => panic!("{other:?}"),
    };
    assert!(Arc::ptr_eq(&layout(), &layout()));
}

#[test]
fn what_json_cannot_say_is_left_out_and_counted() {
    let mut record = frame_record();
    record.frame.samples.values[1] = Value::Float(f64::NAN);
    (record.clock_wrong, record.overtaken) = (true, true);
    let mut bytes = Vec::new();
    assert_eq!(encode_frame(&record, &mut bytes), 1);
    match RecordDecoder::new().decode(&bytes) {
        Ok(Record::Frame(read)) => {
            assert!(read.clock_wrong && read.overtaken && read.frame.samples.len() == 1);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn sessions_and_stages_come_back() {
    let metric = CatalogueMetric {
        name: "load1".into(),
        kind: "gauge".into(),
        unit: String::new(),
        help: "Load.".into(),
    };
    let entry = ScheduleEntry { pattern: "*".into(), interval_ms: 1_000, lease_ms: 0 };
    let session = SessionRecord {
        host: "web-1".into(),
        session: SessionId(1),
        server: "s1".into(),
        time_ms: 5,
        first_seq: 1,
        sampled_through: 99,
        acked: vec![(1, 90), (95, 99)],
        dropped: vec![((91, 94), "buffer full".into())],
        boot_id: "b".into(),
        catalogue: vec![CatalogueEntry { collector: "load".into(), metrics: vec![metric] }],
        labels: [("rack".to_owned(), "7".to_owned())].into(),
        schedule: Schedule { revision: 2, entries: vec![entry] },
        ended: Some("SIGTERM".into()),
    };
    let mut bytes = Vec::new();
    encode_session(&session, &mut bytes);
    let read = RecordDecoder::new().decode(&bytes);
    assert_eq!(read, Ok(Record::Session(Box::new(session))));
    let stages = StagesRecord {
        server: "s1".into(),
        time_ms: 5,
        durable: vec![(900, 3)],
        counts: vec![("x_total".into(), 2)],
    };
    bytes.clear();
    encode_stages(&stages, &mut bytes);
    assert_eq!(RecordDecoder::new().decode(&bytes), Ok(Record::Stages(stages)));
}

#[test]
fn other_types_and_versions_are_unknown_and_no_error() {
    let unknown = |text: &str, version, kind: &str| {
        let expected = Record::Unknown { version, kind: kind.to_owned() };
        assert_eq!(RecordDecoder::new().decode(text.as_bytes()), Ok(expected));
    };
    unknown(r#"{"v":2,"type":"frame","anything":[1]}"#, 2, "frame");
    unknown(r#"{"v":1,"type":"weather"}"#, 1, "weather");
    unknown("{}", 0, "");
}

#[test]
fn what_cannot_be_read_says_why() {
    let refused = |from: &str, to: &str, expected: &str| {
        let broken = DOCUMENTED.replacen(from, to, 1);
        let words = RecordDecoder::new().decode(broken.as_bytes()).unwrap_err().to_string();
        assert!(words.contains(expected), "{words}");
    };
    refused("\"seq\":7", "\"seq\":0", "start at 1");
    refused("\"seq\":7,", "", "seq");
    refused("00ff", "00FF", "hexadecimal");
    refused("12.5", "null", "number");
    refused("12.5", "1e999", "number");
    refused("memory_available_bytes", "memory available", "not a series");
    refused("}}", "", "EOF");
    assert!(RecordDecoder::new().decode(b"\xff\xfe").is_err());
}

#[test]
fn mutated_records_never_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut dice = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut decoder = RecordDecoder::new();
    for _ in 0..20_000 {
        let mut bytes = DOCUMENTED.as_bytes().to_vec();
        for _ in 0..=dice() % 3 {
            let at = (dice() % bytes.len() as u64) as usize;
            bytes[at] = b" 09{}[]\",:aez\\\xff"[(dice() % 15) as usize];
        }
        let _ = decoder.decode(&bytes);
    }
}
