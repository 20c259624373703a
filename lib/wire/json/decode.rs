//! Reading records, from this program or any other that follows the format.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::{FrameRecord, Layout, Record, SeqRange, SessionId, SessionRecord, StagesRecord, Value};
use crate::metric::{Frame, HostName, SAMPLES_PER_FRAME_MAX, Samples, SeriesKey};
use crate::wire::message::{CatalogueEntry, CatalogueMetric, Schedule, ScheduleEntry};
use crate::wire::{RECORD_VERSION, SERIES_LEN_MAX};

/// Hosts whose newest layouts are remembered, so that their series are shared and not read anew.
const HOSTS_REMEMBERED_MAX: usize = 20_000;

/// Counters taken from one record of a server: five times what a server has today.
const COUNTS_MAX: usize = 256;

/// Layouts remembered for each of them: one for each mix of metrics that falls due together.
const LAYOUTS_PER_HOST: usize = 4;

/// How this program's own frames begin: recognised without reading the whole record for its type.
const FRAME_START: &str = "{\"v\":1,\"type\":\"frame\",";

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError(String);

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RecordError {}

/// Reads records; remembers each host's series, so that frames share them.
#[derive(Debug, Default)]
pub struct RecordDecoder {
    hosts: HashMap<HostName, Vec<Layout>>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(default)]
    v: u64,
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct FrameFields<'a> {
    #[serde(borrow)]
    host: Cow<'a, str>,
    #[serde(borrow)]
    session: Cow<'a, str>,
    seq: u64,
    time_ms: u64,
    #[serde(default)]
    host_time_ms: u64,
    #[serde(default)]
    uncertainty_ms: u32,
    elapsed_us: u64,
    #[serde(default)]
    interval_ms: u32,
    #[serde(default)]
    sent_ms: u64,
    #[serde(default)]
    received_ms: u64,
    #[serde(borrow, default)]
    server: Cow<'a, str>,
    #[serde(default)]
    clock_wrong: bool,
    #[serde(default)]
    overtaken: bool,
    #[serde(borrow)]
    samples: SampleFields<'a>,
}

/// The samples in the order in which they stand.
struct SampleFields<'a>(Vec<(Cow<'a, str>, Value)>);

#[derive(Deserialize)]
struct SessionFields {
    host: String,
    session: String,
    #[serde(default)]
    server: String,
    #[serde(default)]
    time_ms: u64,
    #[serde(default)]
    first_seq: u64,
    #[serde(default)]
    sampled_through: u64,
    #[serde(default)]
    acked: Vec<SeqRange>,
    #[serde(default)]
    dropped: Vec<(u64, u64, String)>,
    #[serde(default)]
    boot_id: String,
    #[serde(default)]
    catalogue: Vec<CatalogueFields>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    schedule: ScheduleFields,
    #[serde(default)]
    ended: Option<String>,
}

#[derive(Deserialize)]
struct CatalogueFields {
    collector: String,
    metrics: Vec<MetricFields>,
}

#[derive(Deserialize)]
struct MetricFields {
    name: String,
    kind: String,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    help: String,
}

#[derive(Deserialize, Default)]
struct ScheduleFields {
    revision: u64,
    entries: Vec<ScheduleEntryFields>,
}

#[derive(Deserialize)]
struct ScheduleEntryFields {
    pattern: String,
    interval_ms: u32,
    #[serde(default)]
    lease_ms: u32,
}

#[derive(Deserialize)]
struct StagesFields {
    server: String,
    time_ms: u64,
    durable_us: Vec<(u64, u32)>,
    #[serde(default)]
    counts: BTreeMap<String, u64>,
}

impl RecordDecoder {
    /// One that remembers nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one record.
    ///
    /// # Errors
    /// What was wrong and where; a record of another type or version is no error.
    pub fn decode(&mut self, value: &[u8]) -> Result<Record, RecordError> {
        let text = std::str::from_utf8(value)
            .map_err(|error| RecordError(format!("not UTF-8: {error}")))?;
        if text.starts_with(FRAME_START) {
            return self.frame(parse(text)?);
        }
        let head: Head<'_> = parse(text)?;
        match (head.v, &*head.kind) {
            (RECORD_VERSION, "frame") => self.frame(parse(text)?),
            (RECORD_VERSION, "session") => session(parse(text)?),
            (RECORD_VERSION, "stages") => {
                let fields: StagesFields = parse(text)?;
                Ok(Record::Stages(StagesRecord {
                    server: fields.server.into(),
                    time_ms: fields.time_ms,
                    durable: fields.durable_us,
                    counts: fields.counts.into_iter().take(COUNTS_MAX).collect(),
                }))
            }
            (version, kind) => Ok(Record::Unknown { version, kind: kind.to_owned() }),
        }
    }

    fn frame(&mut self, fields: FrameFields<'_>) -> Result<Record, RecordError> {
        if fields.seq == 0 {
            return Err(RecordError("seq 0: numbers start at 1".into()));
        }
        let session = session_id(&fields.session)?;
        let (host, samples) = self.samples(&fields.host, fields.samples.0)?;
        Ok(Record::Frame(Box::new(FrameRecord {
            host,
            server: Arc::from(&*fields.server),
            received_ms: fields.received_ms,
            clock_wrong: fields.clock_wrong,
            overtaken: fields.overtaken,
            frame: Frame {
                session,
                seq: fields.seq,
                elapsed_us: fields.elapsed_us,
                time_ms: fields.time_ms,
                uncertainty_ms: fields.uncertainty_ms,
                host_time_ms: fields.host_time_ms,
                interval_ms: fields.interval_ms,
                sent_ms: fields.sent_ms,
                samples,
            },
        })))
    }

    /// Gives the samples the layout of an earlier frame of this host if the series are the same.
    fn samples(
        &mut self,
        host: &str,
        pairs: Vec<(Cow<'_, str>, Value)>,
    ) -> Result<(HostName, Samples), RecordError> {
        let values: Vec<Value> = pairs.iter().map(|(_, value)| *value).collect();
        let (name, known) = match self.hosts.get_key_value(host) {
            Some((name, layouts)) => (name.clone(), layouts.as_slice()),
            None => (HostName::from(host), [].as_slice()),
        };
        let same = |layout: &&Layout| {
            layout.len() == pairs.len()
                && layout.iter().zip(&pairs).all(|(key, (text, _))| key.as_str() == text)
        };
        if let Some(layout) = known.iter().find(same) {
            return Ok((name, Samples { layout: layout.clone(), values }));
        }
        let parse = |(text, _): &(Cow<'_, str>, Value)| {
            if text.len() > SERIES_LEN_MAX {
                return Err(RecordError(format!("a series of over {SERIES_LEN_MAX} bytes")));
            }
            SeriesKey::parse(text).map_err(RecordError)
        };
        let layout: Layout = pairs.iter().map(parse).collect::<Result<_, _>>()?;
        if self.hosts.len() >= HOSTS_REMEMBERED_MAX && !self.hosts.contains_key(&name) {
            // A memory, not a store: beginning anew costs one reading of each host's series.
            self.hosts.clear();
        }
        let layouts = self.hosts.entry(name.clone()).or_default();
        if layouts.len() == LAYOUTS_PER_HOST {
            layouts.remove(0);
        }
        layouts.push(layout.clone());
        Ok((name, Samples { layout, values }))
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, RecordError> {
    serde_json::from_str(text).map_err(|error| RecordError(error.to_string()))
}

fn session_id(text: &str) -> Result<SessionId, RecordError> {
    SessionId::parse(text)
        .ok_or_else(|| RecordError("session: expected 32 lower-case hexadecimal digits".into()))
}

fn session(fields: SessionFields) -> Result<Record, RecordError> {
    let inverted = |(first, last): &SeqRange| first > last;
    let dropped: Vec<(SeqRange, String)> =
        fields.dropped.into_iter().map(|(first, last, why)| ((first, last), why)).collect();
    if fields.acked.iter().chain(dropped.iter().map(|(range, _)| range)).any(inverted) {
        return Err(RecordError("a range whose first number is above its last".into()));
    }
    Ok(Record::Session(Box::new(SessionRecord {
        session: session_id(&fields.session)?,
        host: fields.host.into(),
        server: fields.server.into(),
        time_ms: fields.time_ms,
        first_seq: fields.first_seq,
        sampled_through: fields.sampled_through,
        acked: fields.acked,
        dropped,
        boot_id: fields.boot_id,
        catalogue: fields.catalogue.into_iter().map(catalogue_entry).collect(),
        labels: fields.labels,
        schedule: Schedule {
            revision: fields.schedule.revision,
            entries: fields.schedule.entries.into_iter().map(schedule_entry).collect(),
        },
        ended: fields.ended,
    })))
}

fn catalogue_entry(fields: CatalogueFields) -> CatalogueEntry {
    let metric = |fields: MetricFields| CatalogueMetric {
        name: fields.name,
        kind: fields.kind,
        unit: fields.unit,
        help: fields.help,
    };
    CatalogueEntry {
        collector: fields.collector,
        metrics: fields.metrics.into_iter().map(metric).collect(),
    }
}

fn schedule_entry(fields: ScheduleEntryFields) -> ScheduleEntry {
    ScheduleEntry {
        pattern: fields.pattern,
        interval_ms: fields.interval_ms,
        lease_ms: fields.lease_ms,
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for SampleFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SampleVisitor).map(SampleFields)
    }
}

struct SampleVisitor;

impl<'de> Visitor<'de> for SampleVisitor {
    type Value = Vec<(Cow<'de, str>, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of series and numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::with_capacity(64);
        while let Some(Key(key)) = map.next_key()? {
            let Number(value) = map.next_value()?;
            if pairs.len() == SAMPLES_PER_FRAME_MAX {
                let words = format!("more than {SAMPLES_PER_FRAME_MAX} samples in one frame");
                return Err(de::Error::custom(words));
            }
            pairs.push((key, value));
        }
        Ok(pairs)
    }
}

/// A key that is borrowed when it holds no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a series")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(KeyVisitor).map(Key)
    }
}

/// A number that stays an integer when it is one.
struct Number(Value);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a finite number")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Unsigned(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Float(value as f64))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
                if value.is_finite() {
                    Ok(Value::Float(value))
                } else {
                    Err(E::custom("expected a finite number"))
                }
            }
        }
        deserializer.deserialize_any(NumberVisitor).map(Number)
    }
}
