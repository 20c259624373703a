//! Every message comes back as it was; limits and names hold.

use protobuf::{Message, UnknownValueRef};

use super::*;
use crate::base::dice::Dice;
use crate::metric::{Frame, Samples, SeriesKey, Value};

const OWN: SessionId = SessionId(0x0123_4567_89ab_cdef);

fn hello() -> Hello {
    Hello {
        protocol: 1,
        host: "web-1".into(),
        machine_id_hash: 77,
        session: OWN,
        boot_id: "b00t".into(),
        labels: [("rack".to_owned(), "7".to_owned())].into(),
        catalogue: vec![CatalogueEntry {
            collector: "cpu".into(),
            metrics: vec![CatalogueMetric {
                name: "cpu_seconds_total".into(),
                kind: "counter".into(),
                unit: "seconds".into(),
                help: "CPU time.".into(),
            }],
        }],
        interval_min_ms: 50,
        window_frames: 300,
        earlier_sessions: vec![EarlierSession {
            session: SessionId(3),
            range: (5, 9),
            tail_unknown: true,
        }],
        version: "0.1.0".into(),
        first_seq: 1,
    }
}

fn schedule() -> Schedule {
    let entry = ScheduleEntry { pattern: "cpu*".into(), interval_ms: 50, lease_ms: 10_000 };
    Schedule { revision: 4, entries: vec![entry] }
}

fn decoder() -> FrameDecoder {
    FrameDecoder::new(OWN, &[SessionId(3)])
}

/// One of each that a client sends after Hello.
fn messages_of_a_client() -> Vec<FromClient> {
    let samples: Samples = [(SeriesKey::plain("load1"), Value::Float(0.25))].into_iter().collect();
    let frame = Frame {
        session: SessionId(3),
        seq: 5,
        elapsed_us: 1,
        time_ms: 2,
        uncertainty_ms: 3,
        host_time_ms: 1,
        interval_ms: 1_000,
        sent_ms: 1,
        samples,
    };
    let dropped = Declaration { session: OWN, range: (4, 8), reason: "buffer full".into() };
    let status = Status {
        nonce: 1,
        buffered_frames: 2,
        buffered_bytes: 3,
        dropped_frames: 4,
        cpu_us: 5,
        memory_bytes: 6,
        sampled_through: 7,
    };
    vec![
        FromClient::Frame(Box::new(frame)),
        FromClient::Dropped(dropped),
        FromClient::Status(status),
        FromClient::Bye { last_seq: 8, reason: "SIGTERM".into() },
        FromClient::Unknown,
    ]
}

/// One of each that a server sends.
fn messages_of_a_server() -> Vec<ToClient> {
    let ack = Ack {
        session: Some(SessionId(3)),
        through: 4,
        ranges: vec![(6, 7), (9, 9)],
        server_time_us: 10,
        echo_seq: 9,
        echo_received_us: 8,
    };
    let welcome = Welcome {
        protocol: 1,
        server: "s1".into(),
        server_time_us: 1,
        schedule: schedule(),
        version: "0.1.0".into(),
    };
    vec![
        ToClient::Welcome(Box::new(welcome)),
        ToClient::Ack(ack.clone()),
        ToClient::Ack(Ack { session: None, ..ack }),
        ToClient::Schedule(schedule()),
        ToClient::Collect(vec!["*".into()]),
        ToClient::Ping { nonce: 1, server_time_us: 2 },
        ToClient::Drain { after_ms: 100, reason: "stopping".into() },
        ToClient::Unknown,
    ]
}

#[test]
fn every_message_of_a_client_comes_back() {
    for sent in messages_of_a_client() {
        let encoded = encode_from_client(&sent, &mut FrameEncoder::new(OWN)).unwrap();
        assert_eq!(decode_from_client(encoded, Some(&mut decoder())).as_ref(), Ok(&sent));
    }
    let sent = FromClient::Hello(Box::new(hello()));
    let encoded = encode_from_client(&sent, &mut FrameEncoder::new(OWN)).unwrap();
    assert_eq!(decode_from_client(encoded, None).as_ref(), Ok(&sent));
}

#[test]
fn every_message_of_a_server_comes_back() {
    for sent in messages_of_a_server() {
        assert_eq!(decode_to_client(encode_to_client(&sent)).as_ref(), Ok(&sent));
    }
}

#[test]
fn hello_comes_first_and_once() {
    let hello = || proto::CommandResponse {
        message: Some(command_response::Message::Hello(encode_hello(&hello()))),
        ..Default::default()
    };
    let bye = proto::CommandResponse {
        message: Some(command_response::Message::Bye(proto::Bye::default())),
        ..Default::default()
    };
    assert!(decode_from_client(hello(), Some(&mut decoder())).unwrap_err().0.contains("twice"));
    assert!(decode_from_client(bye, None).unwrap_err().0.contains("must be Hello"));
}

#[test]
fn a_message_of_a_later_version_is_unknown_and_no_error() {
    // Field 99 of the oneof, as a later version might add it: tag 99 << 3 | 2, three bytes.
    let bytes = [0x9a, 0x06, 0x03, 1, 2, 3];
    let message = proto::CommandResponse::parse_from_bytes(&bytes).unwrap();
    let unknown = message.special_fields.unknown_fields().get(99);
    assert!(matches!(unknown, Some(UnknownValueRef::LengthDelimited([1, 2, 3]))));
    assert_eq!(decode_from_client(message, Some(&mut decoder())), Ok(FromClient::Unknown));
}

#[test]
fn what_is_too_long_or_turned_round_is_refused() {
    let refused = |message: command_response::Message| {
        let message = proto::CommandResponse { message: Some(message), ..Default::default() };
        decode_from_client(message, Some(&mut decoder())).unwrap_err().0
    };
    let reason = "x".repeat(5_000);
    let bye = proto::Bye { last_seq: 1, reason, ..Default::default() };
    assert!(refused(command_response::Message::Bye(bye)).contains("5000 bytes"));
    let dropped = proto::Dropped { from: 9, to: 3, ..Default::default() };
    assert!(refused(command_response::Message::Dropped(dropped)).contains("9 to 3"));
    let mut long = encode_hello(&hello());
    long.catalogue = vec![proto::CatalogueEntry::default(); HELLO_ITEMS_MAX + 1];
    let long = proto::CommandResponse {
        message: Some(command_response::Message::Hello(long)),
        ..Default::default()
    };
    assert!(decode_from_client(long, None).unwrap_err().0.contains("256 items"));
}

#[test]
fn generated_code_matches_descriptor() {
    let file = proto::file_descriptor();
    let services: Vec<_> = file.services().collect();
    assert_eq!(services.len(), 1);
    let service = services[0].proto();
    assert_eq!(format!("{}.{}", file.proto().package(), service.name()), SERVICE);
    let method = &service.method[0];
    assert_eq!(service.method.len(), 1);
    assert_eq!(format!("/{SERVICE}/{}", method.name()), COMMAND_STREAM);
    assert!(method.client_streaming() && method.server_streaming());
    assert_eq!(method.input_type(), ".monitor.CommandResponse");
    assert_eq!(method.output_type(), ".monitor.CommandRequest");
}

/// Mutations of each message that are tried.
const MUTATIONS: usize = 4_000;

/// What comes of a message may take this many bytes, encoded again, for each byte that came: an
/// empty entry of a map comes back with its empty key and value.
const GROWTH_MAX: u64 = 4;

/// And so many more, for fields that have a value even when they were left out.
const DEFAULTS_BYTES: u64 = 64;

/// Bytes overwritten, cut off, doubled, and lengths that claim far more than is there.
fn mutated(whole: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len().max(1) as u64) as usize;
        let end = at + dice.below((bytes.len() - at) as u64 + 1) as usize;
        match dice.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => {
                // As a length: four GiB, and less the further the dice fall.
                let claim = [0xff, 0xff, 0xff, 0xff, 0x0f];
                let claim = claim[dice.below(5) as usize..].to_vec();
                bytes.splice(at..end.min(at + 1), claim);
            }
            _ if bytes.is_empty() => bytes.push(dice.next() as u8),
            _ => bytes[at] = dice.next() as u8,
        }
    }
    bytes
}

#[track_caller]
fn assert_bounded(size: u64, came: &[u8], what: &str) {
    let most = GROWTH_MAX * came.len() as u64 + DEFAULTS_BYTES;
    assert!(size <= most, "{what}: {size} bytes from {came:02x?}");
}

#[test]
fn mutated_messages_of_a_client_never_panic_and_hold_no_more_than_came() {
    let mut whole = vec![encode_from_client(
        &FromClient::Hello(Box::new(hello())),
        &mut FrameEncoder::new(OWN),
    )];
    whole.extend(
        messages_of_a_client().iter().map(|m| encode_from_client(m, &mut FrameEncoder::new(OWN))),
    );
    let (mut taken, mut refused, mut unreadable) = (0, 0, 0);
    for (number, message) in whole.into_iter().enumerate() {
        let bytes = message.unwrap().write_to_bytes().unwrap();
        let mut dice = Dice::new(number as u64 + 17);
        for _ in 0..MUTATIONS {
            let broken = mutated(&bytes, &mut dice);
            let Ok(message) = proto::CommandResponse::parse_from_bytes(&broken) else {
                unreadable += 1;
                continue;
            };
            assert_bounded(message.compute_size(), &broken, "parsed");
            if message.has_frame() {
                let frame = message.frame();
                let room = frame.deltas.capacity().max(frame.doubles.capacity());
                assert!(room <= 2 * broken.len() + 8, "room for {room} from {broken:02x?}");
            }
            for mut frames in [None, Some(decoder())] {
                match decode_from_client(message.clone(), frames.as_mut()) {
                    Ok(decoded) => {
                        taken += 1;
                        let mut encoder = FrameEncoder::new(OWN);
                        if let Ok(again) = encode_from_client(&decoded, &mut encoder) {
                            assert_bounded(again.compute_size(), &broken, "decoded");
                        }
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    }
    let seen = [taken, refused, unreadable];
    assert!(seen.iter().all(|count| *count > 1_000), "nothing is tried: {seen:?}");
}

#[test]
fn mutated_messages_of_a_server_never_panic_and_hold_no_more_than_came() {
    let (mut taken, mut refused, mut unreadable) = (0, 0, 0);
    for (number, message) in messages_of_a_server().iter().enumerate() {
        let bytes = encode_to_client(message).write_to_bytes().unwrap();
        let mut dice = Dice::new(number as u64 + 71);
        for _ in 0..MUTATIONS {
            let broken = mutated(&bytes, &mut dice);
            let Ok(message) = proto::CommandRequest::parse_from_bytes(&broken) else {
                unreadable += 1;
                continue;
            };
            assert_bounded(message.compute_size(), &broken, "parsed");
            match decode_to_client(message) {
                Ok(decoded) => {
                    taken += 1;
                    assert_bounded(encode_to_client(&decoded).compute_size(), &broken, "decoded");
                }
                Err(_) => refused += 1,
            }
        }
    }
    let seen = [taken, refused, unreadable];
    assert!(seen.iter().all(|count| *count > 100), "nothing is tried: {seen:?}");
}
