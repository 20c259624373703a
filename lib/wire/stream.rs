//! The messages of a `CommandStream` to and from protobuf, with every limit checked on the way in.

use std::collections::BTreeMap;

use protobuf::MessageField;

use super::frame::{FrameDecoder, FrameEncoder, WireError, session_or, wrong};
use super::message::{
    Ack, CatalogueEntry, CatalogueMetric, EarlierSession, FromClient, Hello, Schedule,
    ScheduleEntry, Status, ToClient, Welcome,
};
use super::proto::{self, command_request, command_response};
use super::{ACK_RANGES_MAX, HELLO_ITEMS_MAX, SCHEDULE_ENTRIES_MAX, TEXT_LEN_MAX};
use crate::metric::{Declaration, SeqRange, SessionId};

/// Full name of the service in `proto/monitor.proto`.
pub const SERVICE: &str = "monitor.MonitorService";

/// Path of its one method, as HTTP/2 carries it.
pub const COMMAND_STREAM: &str = "/monitor.MonitorService/CommandStream";

/// A client's message for the wire.
///
/// # Errors
/// As [`FrameEncoder::encode`]; only frames can fail.
pub fn encode_from_client(
    message: &FromClient,
    frames: &mut FrameEncoder,
) -> Result<proto::CommandResponse, WireError> {
    use command_response::Message;
    let message = match message {
        FromClient::Hello(hello) => Some(Message::Hello(encode_hello(hello))),
        FromClient::Frame(frame) => Some(Message::Frame(frames.encode(frame)?)),
        FromClient::Dropped(declaration) => Some(Message::Dropped(proto::Dropped {
            session: session_bytes(declaration.session),
            from: declaration.range.0,
            to: declaration.range.1,
            reason: declaration.reason.clone(),
            ..Default::default()
        })),
        FromClient::Status(status) => Some(Message::Status(proto::Status {
            nonce: status.nonce,
            buffered_frames: status.buffered_frames,
            buffered_bytes: status.buffered_bytes,
            dropped_frames: status.dropped_frames,
            cpu_us: status.cpu_us,
            memory_bytes: status.memory_bytes,
            sampled_through: status.sampled_through,
            ..Default::default()
        })),
        FromClient::Bye { last_seq, reason } => Some(Message::Bye(proto::Bye {
            last_seq: *last_seq,
            reason: reason.clone(),
            ..Default::default()
        })),
        FromClient::Unknown => None,
    };
    Ok(proto::CommandResponse { message, ..Default::default() })
}

/// A message from a client. `frames` is `None` until Hello has been taken.
///
/// # Errors
/// What was wrong and what was expected; the stream is to be ended with these words.
pub fn decode_from_client(
    message: proto::CommandResponse,
    frames: Option<&mut FrameDecoder>,
) -> Result<FromClient, WireError> {
    use command_response::Message;
    let Some(message) = message.message else { return Ok(FromClient::Unknown) };
    let frames = match (message, frames) {
        (Message::Hello(hello), None) => {
            return decode_hello(hello).map(|hello| FromClient::Hello(Box::new(hello)));
        }
        (Message::Hello(_), Some(_)) => return wrong("Hello twice on one stream"),
        (_, None) => return wrong("the first message must be Hello"),
        (message, Some(frames)) => (message, frames),
    };
    Ok(match frames {
        (Message::Frame(frame), frames) => FromClient::Frame(Box::new(frames.decode(frame)?)),
        (Message::Dropped(dropped), frames) => FromClient::Dropped(Declaration {
            session: frames.session(&dropped.session)?,
            range: range(dropped.from, dropped.to)?,
            reason: text(dropped.reason)?,
        }),
        (Message::Status(status), _) => FromClient::Status(Status {
            nonce: status.nonce,
            buffered_frames: status.buffered_frames,
            buffered_bytes: status.buffered_bytes,
            dropped_frames: status.dropped_frames,
            cpu_us: status.cpu_us,
            memory_bytes: status.memory_bytes,
            sampled_through: status.sampled_through,
        }),
        (Message::Bye(bye), _) => {
            FromClient::Bye { last_seq: bye.last_seq, reason: text(bye.reason)? }
        }
        (Message::Hello(_), _) => FromClient::Unknown,
    })
}

/// A server's message for the wire.
#[must_use]
pub fn encode_to_client(message: &ToClient) -> proto::CommandRequest {
    use command_request::Message;
    let message = match message {
        ToClient::Welcome(welcome) => Some(Message::Welcome(proto::Welcome {
            protocol: welcome.protocol,
            server: welcome.server.clone(),
            server_time_us: welcome.server_time_us,
            schedule: MessageField::some(encode_schedule(&welcome.schedule)),
            version: welcome.version.clone(),
            ..Default::default()
        })),
        ToClient::Ack(ack) => Some(Message::Ack(proto::Ack {
            session: ack.session.map(session_bytes).unwrap_or_default(),
            through: ack.through,
            ranges: ack.ranges.iter().map(|(first, last)| proto_range(*first, *last)).collect(),
            server_time_us: ack.server_time_us,
            echo_seq: ack.echo_seq,
            echo_received_us: ack.echo_received_us,
            ..Default::default()
        })),
        ToClient::Schedule(schedule) => Some(Message::Schedule(encode_schedule(schedule))),
        ToClient::Collect(metrics) => Some(Message::Collect(proto::Collect {
            metrics: metrics.clone(),
            ..Default::default()
        })),
        ToClient::Ping { nonce, server_time_us } => Some(Message::Ping(proto::Ping {
            nonce: *nonce,
            server_time_us: *server_time_us,
            ..Default::default()
        })),
        ToClient::Drain { after_ms, reason } => Some(Message::Drain(proto::Drain {
            after_ms: *after_ms,
            reason: reason.clone(),
            ..Default::default()
        })),
        ToClient::Unknown => None,
    };
    proto::CommandRequest { message, ..Default::default() }
}

/// A message from the server.
///
/// # Errors
/// What was wrong and what was expected.
pub fn decode_to_client(message: proto::CommandRequest) -> Result<ToClient, WireError> {
    use command_request::Message;
    let Some(message) = message.message else { return Ok(ToClient::Unknown) };
    Ok(match message {
        Message::Welcome(welcome) => ToClient::Welcome(Box::new(Welcome {
            protocol: welcome.protocol,
            server: text(welcome.server)?,
            server_time_us: welcome.server_time_us,
            schedule: decode_schedule(welcome.schedule.unwrap_or_default())?,
            version: text(welcome.version)?,
        })),
        Message::Ack(ack) => {
            if ack.ranges.len() > ACK_RANGES_MAX {
                return wrong(format!("an ack of over {ACK_RANGES_MAX} ranges"));
            }
            let own = SessionId(0);
            let session = session_or(own, &ack.session)?;
            ToClient::Ack(Ack {
                session: (!ack.session.is_empty()).then_some(session),
                through: ack.through,
                ranges: decode_ranges(&ack.ranges)?,
                server_time_us: ack.server_time_us,
                echo_seq: ack.echo_seq,
                echo_received_us: ack.echo_received_us,
            })
        }
        Message::Schedule(schedule) => ToClient::Schedule(decode_schedule(schedule)?),
        Message::Collect(collect) => {
            if collect.metrics.len() > SCHEDULE_ENTRIES_MAX {
                return wrong(format!("a Collect of over {SCHEDULE_ENTRIES_MAX} patterns"));
            }
            ToClient::Collect(collect.metrics.into_iter().map(text).collect::<Result<_, _>>()?)
        }
        Message::Ping(ping) => {
            ToClient::Ping { nonce: ping.nonce, server_time_us: ping.server_time_us }
        }
        Message::Drain(drain) => {
            ToClient::Drain { after_ms: drain.after_ms, reason: text(drain.reason)? }
        }
    })
}

fn encode_hello(hello: &Hello) -> proto::Hello {
    proto::Hello {
        protocol: hello.protocol,
        host: hello.host.to_string(),
        machine_id_hash: hello.machine_id_hash.to_be_bytes().to_vec(),
        session: session_bytes(hello.session),
        boot_id: hello.boot_id.clone(),
        labels: hello.labels.clone().into_iter().collect(),
        catalogue: hello.catalogue.iter().map(encode_catalogue_entry).collect(),
        ceilings: MessageField::some(proto::Ceilings {
            interval_min_ms: hello.interval_min_ms,
            window_frames: hello.window_frames,
            ..Default::default()
        }),
        earlier_sessions: hello.earlier_sessions.iter().map(encode_earlier).collect(),
        version: hello.version.clone(),
        first_seq: hello.first_seq,
        ..Default::default()
    }
}

fn encode_earlier(earlier: &EarlierSession) -> proto::EarlierSession {
    proto::EarlierSession {
        session: session_bytes(earlier.session),
        first_seq: earlier.range.0,
        last_seq: earlier.range.1,
        tail_unknown: earlier.tail_unknown,
        ..Default::default()
    }
}

fn encode_catalogue_entry(entry: &CatalogueEntry) -> proto::CatalogueEntry {
    let metric = |metric: &CatalogueMetric| proto::Metric {
        name: metric.name.clone(),
        kind: metric.kind.clone(),
        unit: metric.unit.clone(),
        help: metric.help.clone(),
        ..Default::default()
    };
    proto::CatalogueEntry {
        collector: entry.collector.clone(),
        metrics: entry.metrics.iter().map(metric).collect(),
        ..Default::default()
    }
}

fn decode_hello(hello: proto::Hello) -> Result<Hello, WireError> {
    let items =
        [hello.labels.len(), hello.catalogue.len(), hello.earlier_sessions.len()].into_iter().max();
    let metrics = hello.catalogue.iter().map(|entry| entry.metrics.len()).max();
    if items.max(metrics).unwrap_or_default() > HELLO_ITEMS_MAX {
        return wrong(format!("a Hello with a list of over {HELLO_ITEMS_MAX} items"));
    }
    let Ok(session) = <[u8; 16]>::try_from(hello.session.as_slice()) else {
        return wrong(format!("Hello: a session of {} bytes; expected 16", hello.session.len()));
    };
    let machine = <[u8; 8]>::try_from(hello.machine_id_hash.as_slice()).unwrap_or_default();
    let ceilings = hello.ceilings.unwrap_or_default();
    let mut earlier_sessions = Vec::with_capacity(hello.earlier_sessions.len());
    for earlier in &hello.earlier_sessions {
        let session = session_or(SessionId(0), &earlier.session)?;
        let range = range(earlier.first_seq, earlier.last_seq)?;
        let tail_unknown = earlier.tail_unknown;
        earlier_sessions.push(EarlierSession { session, range, tail_unknown });
    }
    let mut labels = BTreeMap::new();
    for (name, value) in hello.labels {
        labels.insert(text(name)?, text(value)?);
    }
    Ok(Hello {
        protocol: hello.protocol,
        host: text(hello.host)?.into(),
        machine_id_hash: u64::from_be_bytes(machine),
        session: SessionId(u128::from_be_bytes(session)),
        boot_id: text(hello.boot_id)?,
        labels,
        catalogue: hello
            .catalogue
            .into_iter()
            .map(decode_catalogue_entry)
            .collect::<Result<_, _>>()?,
        interval_min_ms: ceilings.interval_min_ms,
        window_frames: ceilings.window_frames,
        earlier_sessions,
        version: text(hello.version)?,
        first_seq: hello.first_seq.max(1),
    })
}

fn decode_catalogue_entry(entry: proto::CatalogueEntry) -> Result<CatalogueEntry, WireError> {
    let metric = |metric: proto::Metric| {
        Ok(CatalogueMetric {
            name: text(metric.name)?,
            kind: text(metric.kind)?,
            unit: text(metric.unit)?,
            help: text(metric.help)?,
        })
    };
    Ok(CatalogueEntry {
        collector: text(entry.collector)?,
        metrics: entry.metrics.into_iter().map(metric).collect::<Result<_, _>>()?,
    })
}

fn encode_schedule(schedule: &Schedule) -> proto::Schedule {
    let entry = |entry: &ScheduleEntry| proto::ScheduleEntry {
        pattern: entry.pattern.clone(),
        interval_ms: entry.interval_ms,
        lease_ms: entry.lease_ms,
        ..Default::default()
    };
    proto::Schedule {
        revision: schedule.revision,
        entries: schedule.entries.iter().map(entry).collect(),
        ..Default::default()
    }
}

fn decode_schedule(schedule: proto::Schedule) -> Result<Schedule, WireError> {
    if schedule.entries.len() > SCHEDULE_ENTRIES_MAX {
        return wrong(format!("a schedule of over {SCHEDULE_ENTRIES_MAX} entries"));
    }
    let entry = |entry: proto::ScheduleEntry| {
        Ok(ScheduleEntry {
            pattern: text(entry.pattern)?,
            interval_ms: entry.interval_ms,
            lease_ms: entry.lease_ms,
        })
    };
    let entries = schedule.entries.into_iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Schedule { revision: schedule.revision, entries })
}

fn decode_ranges(ranges: &[proto::Range]) -> Result<Vec<SeqRange>, WireError> {
    ranges.iter().map(|item| range(item.first, item.last)).collect()
}

fn proto_range(first: u64, last: u64) -> proto::Range {
    proto::Range { first, last, ..Default::default() }
}

fn range(first: u64, last: u64) -> Result<SeqRange, WireError> {
    if first == 0 || first > last {
        return wrong(format!(
            "frames {first} to {last} are no range: expected 1 <= first <= last"
        ));
    }
    Ok((first, last))
}

fn text(text: String) -> Result<String, WireError> {
    if text.len() > TEXT_LEN_MAX {
        return wrong(format!("a text of {} bytes; expected at most {TEXT_LEN_MAX}", text.len()));
    }
    Ok(text)
}

fn session_bytes(session: SessionId) -> Vec<u8> {
    session.0.to_be_bytes().to_vec()
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
