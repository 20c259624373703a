//! Frames to and from the delta form of `proto/monitor.proto`.
//!
//! Series ids, layouts and the values that deltas start from belong to one stream: an encoder on
//! one side and a decoder on the other that see the same frames in the same order. In steady
//! state a sample costs the length of its change: one byte when it did not change, two or three
//! for most counters at 1 Hz.
//!
//! Integers and fractions with at most three decimals travel as integers; everything else as
//! doubles. What comes out is bit for bit what went in.

use std::collections::HashMap;
use std::fmt;

use protobuf::MessageField;

use super::{LAYOUTS_PER_STREAM_MAX, SERIES_LEN_MAX, SERIES_PER_STREAM_MAX, proto};
use crate::metric::{Frame, Layout, SAMPLES_PER_FRAME_MAX, Samples, SeriesKey, SessionId, Value};

/// Most decimals that a fraction may have to travel as an integer.
const DECIMALS_MAX: u32 = 3;

/// Layouts whose ids an encoder remembers by their address; the others are found by content.
const LAYOUT_CACHE_LEN: usize = 16;

/// Above this an `f64` no longer holds every integer.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// What is wrong with a message, in words for the other side and the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError(pub String);

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WireError {}

/// Short form for the many checks of this room.
pub(super) fn wrong<T>(words: impl Into<String>) -> Result<T, WireError> {
    Err(WireError(words.into()))
}

/// How the values of a series travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    Integer,
    Decimal(u32),
    Double,
}

/// The sending side of one stream.
#[derive(Debug)]
pub struct FrameEncoder {
    own: SessionId,
    ids: HashMap<(SeriesKey, Form), u32>,
    /// The form in use for each series; it only ever gets wider.
    forms: HashMap<SeriesKey, Form>,
    /// Form and last value, by id.
    series: Vec<(Form, u64)>,
    layout_ids: HashMap<Vec<u32>, u32>,
    recent: Vec<(Layout, Vec<u32>, u32)>,
}

impl FrameEncoder {
    /// For a new stream whose Hello names the session `own`.
    #[must_use]
    pub fn new(own: SessionId) -> Self {
        Self {
            own,
            ids: HashMap::new(),
            forms: HashMap::new(),
            series: Vec::new(),
            layout_ids: HashMap::new(),
            recent: Vec::new(),
        }
    }

    /// Encodes the next frame of the stream.
    ///
    /// # Errors
    /// When the stream's limits on series or layouts are reached; the remedy is a new stream.
    pub fn encode(&mut self, frame: &Frame) -> Result<proto::Frame, WireError> {
        let mut out = proto::Frame {
            seq: frame.seq,
            elapsed_us: frame.elapsed_us,
            time_ms: frame.time_ms,
            uncertainty_ms: frame.uncertainty_ms,
            host_time_ahead_ms: frame.host_time_ms.wrapping_sub(frame.time_ms) as i64,
            interval_ms: frame.interval_ms,
            sent_after_ms: frame.sent_ms.wrapping_sub(frame.time_ms) as i64,
            ..Default::default()
        };
        if frame.session != self.own {
            out.session = frame.session.0.to_be_bytes().to_vec();
        }
        let cached = self.cached_layout(&frame.samples);
        let (ids, layout) = match cached {
            Some(at) => {
                let (_, ids, layout) = &self.recent[at];
                (ids.clone(), *layout)
            }
            None => self.announce(&frame.samples, &mut out)?,
        };
        out.layout = layout;
        out.deltas.reserve(ids.len());
        for (id, value) in ids.iter().zip(&frame.samples.values) {
            let (form, last) = &mut self.series[*id as usize];
            match as_units(*value, *form) {
                Some(units) => {
                    out.deltas.push(units.wrapping_sub(*last) as i64);
                    *last = units;
                }
                None => out.doubles.push(value.as_f64()),
            }
        }
        Ok(out)
    }

    /// The place of the samples' layout among the recent ones, if every value fits its form.
    fn cached_layout(&self, samples: &Samples) -> Option<usize> {
        let at = self.recent.iter().position(|(known, ..)| {
            std::ptr::eq(known.as_ptr(), samples.layout.as_ptr())
                && known.len() == samples.layout.len()
        })?;
        let ids = &self.recent[at].1;
        let fits = |(id, value): (&u32, &Value)| form_holds(self.series[*id as usize].0, *value);
        ids.iter().zip(&samples.values).all(fits).then_some(at)
    }

    /// Finds or announces every series and the layout of a frame.
    fn announce(
        &mut self,
        samples: &Samples,
        out: &mut proto::Frame,
    ) -> Result<(Vec<u32>, u32), WireError> {
        if samples.len() > SAMPLES_PER_FRAME_MAX {
            return wrong(format!("{} samples in one frame: split it", samples.len()));
        }
        let mut ids = Vec::with_capacity(samples.len());
        for (key, value) in samples.iter() {
            ids.push(self.series_id(key, value, out)?);
        }
        let layout = match self.layout_ids.get(&ids) {
            Some(layout) => *layout,
            None => {
                if self.layout_ids.len() >= LAYOUTS_PER_STREAM_MAX {
                    return wrong("too many layouts on one stream");
                }
                let layout = self.layout_ids.len() as u32;
                self.layout_ids.insert(ids.clone(), layout);
                out.new_layout =
                    MessageField::some(proto::Layout { series: ids.clone(), ..Default::default() });
                layout
            }
        };
        let same = |(known, ..): &(Layout, Vec<u32>, u32)| {
            std::ptr::eq(known.as_ptr(), samples.layout.as_ptr())
        };
        self.recent.retain(|entry| !same(entry));
        if self.recent.len() == LAYOUT_CACHE_LEN {
            self.recent.remove(0);
        }
        self.recent.push((samples.layout.clone(), ids.clone(), layout));
        Ok((ids, layout))
    }

    fn series_id(
        &mut self,
        key: &SeriesKey,
        value: Value,
        out: &mut proto::Frame,
    ) -> Result<u32, WireError> {
        let known = self.forms.get(key).copied();
        let form =
            known.filter(|form| form_holds(*form, value)).unwrap_or_else(|| narrowest(value));
        if let Some(id) = self.ids.get(&(key.clone(), form)) {
            return Ok(*id);
        }
        if self.series.len() >= SERIES_PER_STREAM_MAX {
            return wrong("too many series on one stream");
        }
        let id = self.series.len() as u32;
        self.series.push((form, 0));
        self.ids.insert((key.clone(), form), id);
        self.forms.insert(key.clone(), form);
        let (wire_form, decimals) = match form {
            Form::Integer => (proto::Form::INTEGER, 0),
            Form::Decimal(decimals) => (proto::Form::DECIMAL, decimals),
            Form::Double => (proto::Form::DOUBLE, 0),
        };
        out.series.push(proto::Series {
            key: key.as_str().to_owned(),
            form: wire_form.into(),
            decimals,
            ..Default::default()
        });
        Ok(id)
    }
}

/// The receiving side of one stream.
#[derive(Debug)]
pub struct FrameDecoder {
    own: SessionId,
    earlier: Vec<SessionId>,
    series: Vec<(SeriesKey, Form, u64)>,
    layouts: Vec<(Layout, Vec<u32>)>,
}

impl FrameDecoder {
    /// For a stream whose Hello named the session `own` and these earlier ones.
    #[must_use]
    pub fn new(own: SessionId, earlier: &[SessionId]) -> Self {
        Self { own, earlier: earlier.to_vec(), series: Vec::new(), layouts: Vec::new() }
    }

    /// Reads a session field of this stream: empty means the session of Hello.
    pub(super) fn session(&self, bytes: &[u8]) -> Result<SessionId, WireError> {
        let session = session_or(self.own, bytes)?;
        if session != self.own && !self.earlier.contains(&session) {
            return wrong(format!("session {session} was not listed in Hello"));
        }
        Ok(session)
    }

    /// Decodes the next frame of the stream.
    ///
    /// # Errors
    /// What was wrong and what was expected. The stream cannot go on after an error, because its
    /// deltas have lost their base.
    pub fn decode(&mut self, frame: proto::Frame) -> Result<Frame, WireError> {
        if frame.seq == 0 {
            return wrong("frame 0: numbers start at 1");
        }
        let session = self.session(&frame.session)?;
        self.take_announcements(&frame)?;
        let Some((layout, ids)) = self.layouts.get(frame.layout as usize) else {
            return wrong(format!("layout {} not announced", frame.layout));
        };
        let (mut deltas, mut doubles) = (frame.deltas.iter(), frame.doubles.iter());
        let mut values = Vec::with_capacity(ids.len());
        for id in ids {
            let (_, form, last) = &mut self.series[*id as usize];
            let value = if *form == Form::Double {
                doubles.next().map(|double| Value::Float(*double))
            } else {
                deltas.next().map(|delta| {
                    *last = last.wrapping_add(*delta as u64);
                    from_units(*last, *form)
                })
            };
            match value {
                Some(value) if value.as_f64().is_finite() => values.push(value),
                Some(_) => return wrong("a value is not a finite number"),
                None => return wrong("fewer values than the layout has series"),
            }
        }
        if deltas.next().is_some() || doubles.next().is_some() {
            return wrong("more values than the layout has series");
        }
        Ok(Frame {
            session,
            seq: frame.seq,
            elapsed_us: frame.elapsed_us,
            time_ms: frame.time_ms,
            uncertainty_ms: frame.uncertainty_ms,
            host_time_ms: frame.time_ms.wrapping_add(frame.host_time_ahead_ms as u64),
            interval_ms: frame.interval_ms,
            sent_ms: frame.time_ms.wrapping_add(frame.sent_after_ms as u64),
            samples: Samples { layout: layout.clone(), values },
        })
    }

    fn take_announcements(&mut self, frame: &proto::Frame) -> Result<(), WireError> {
        for series in &frame.series {
            if self.series.len() >= SERIES_PER_STREAM_MAX {
                return wrong(format!("more than {SERIES_PER_STREAM_MAX} series on one stream"));
            }
            if series.key.len() > SERIES_LEN_MAX {
                return wrong(format!("a series of over {SERIES_LEN_MAX} bytes"));
            }
            let form = match series.form.enum_value() {
                Ok(proto::Form::INTEGER) => Form::Integer,
                Ok(proto::Form::DECIMAL) if series.decimals <= DECIMALS_MAX => {
                    Form::Decimal(series.decimals)
                }
                Ok(proto::Form::DOUBLE) => Form::Double,
                _ => return wrong(format!("series {} has an unknown form", series.key)),
            };
            let key = SeriesKey::parse(&series.key).map_err(WireError)?;
            self.series.push((key, form, 0));
        }
        let Some(layout) = frame.new_layout.as_ref() else { return Ok(()) };
        if self.layouts.len() >= LAYOUTS_PER_STREAM_MAX {
            return wrong(format!("more than {LAYOUTS_PER_STREAM_MAX} layouts on one stream"));
        }
        if layout.series.len() > SAMPLES_PER_FRAME_MAX {
            return wrong(format!("more than {SAMPLES_PER_FRAME_MAX} samples in one frame"));
        }
        let mut keys = Vec::with_capacity(layout.series.len());
        for id in &layout.series {
            match self.series.get(*id as usize) {
                Some((key, ..)) => keys.push(key.clone()),
                None => return wrong(format!("series {id} not announced")),
            }
        }
        let mut sorted: Vec<&SeriesKey> = keys.iter().collect();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return wrong(format!("series {} twice in one layout", twice[0]));
        }
        self.layouts.push((keys.into(), layout.series.clone()));
        Ok(())
    }
}

/// Reads a session field: empty means `own`.
pub(super) fn session_or(own: SessionId, bytes: &[u8]) -> Result<SessionId, WireError> {
    if bytes.is_empty() {
        return Ok(own);
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(bytes) => Ok(SessionId(u128::from_be_bytes(bytes))),
        Err(_) => wrong(format!("a session of {} bytes; expected 16", bytes.len())),
    }
}

/// The narrowest form that holds a value.
fn narrowest(value: Value) -> Form {
    match value {
        Value::Unsigned(_) => Form::Integer,
        Value::Float(_) => (2..=DECIMALS_MAX)
            .map(Form::Decimal)
            .find(|form| form_holds(*form, value))
            .unwrap_or(Form::Double),
    }
}

fn form_holds(form: Form, value: Value) -> bool {
    match (form, value) {
        (Form::Integer, Value::Unsigned(_)) | (Form::Double, Value::Float(_)) => true,
        (Form::Decimal(decimals), Value::Float(value)) => {
            let scaled = (value * power_of_ten(decimals)).round();
            let exact = scaled.abs() < EXACT_INTEGER_MAX;
            // Compared as bits after the way through an integer, so that -0.0 goes as a double.
            let back = scaled as i64 as f64 / power_of_ten(decimals);
            exact && back.to_bits() == value.to_bits()
        }
        _ => false,
    }
}

/// The integer that travels for a value; `None` when it goes as a double.
fn as_units(value: Value, form: Form) -> Option<u64> {
    match (form, value) {
        (Form::Integer, Value::Unsigned(value)) => Some(value),
        (Form::Decimal(decimals), Value::Float(value)) => {
            Some((value * power_of_ten(decimals)).round() as i64 as u64)
        }
        _ => None,
    }
}

fn from_units(units: u64, form: Form) -> Value {
    match form {
        Form::Decimal(decimals) => Value::Float(units as i64 as f64 / power_of_ten(decimals)),
        Form::Integer | Form::Double => Value::Unsigned(units),
    }
}

fn power_of_ten(decimals: u32) -> f64 {
    [1.0, 10.0, 100.0, 1_000.0][decimals.min(DECIMALS_MAX) as usize]
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
