//! The proper answers of the scripted broker, one for each kind of request.

use std::sync::{Condvar, MutexGuard};
use std::time::Duration;

use super::codec::{Input, Message, Output};
use super::scripted::{FETCH, METADATA, OFFSETS, PRODUCE, State, VERSIONS, append, read_log};

const OFFSET_OUT_OF_RANGE: i16 = 1;
const LEADER_NOT_AVAILABLE: i16 = 5;
const MESSAGE_TOO_LARGE: i16 = 10;

/// The body of an answer; with a `code`, every partition carries it and nothing changes.
pub(crate) fn answer(
    state: MutexGuard<'_, State>,
    stored: &Condvar,
    kind: i16,
    input: &mut Input<'_>,
    code: i16,
) -> Vec<u8> {
    match kind {
        PRODUCE => {
            let body = produce(state, input, code);
            stored.notify_all();
            body
        }
        FETCH => fetch(state, stored, input, code),
        OFFSETS => offsets(state, input, code),
        METADATA => metadata(&state, input, code),
        VERSIONS => versions(&state),
        other => panic!("the client sent request {other}"),
    }
}

fn versions(state: &State) -> Vec<u8> {
    let kinds = [(PRODUCE, 0, 11), (FETCH, state.fetch_version_min, 17), (METADATA, 0, 12)];
    let output = Output::default().i16(0).i32(kinds.len() as i32);
    kinds.iter().fold(output, |out, (kind, min, max)| out.i16(*kind).i16(*min).i16(*max)).0
}

fn metadata(state: &State, input: &mut Input<'_>, code: i16) -> Vec<u8> {
    let (host, port) = (state.advertised.ip().to_string(), i32::from(state.advertised.port()));
    let count = input.i32();
    let mut output = Output::default().i32(1).i32(1).string(&host).i32(port).i32(count);
    for _ in 0..count {
        let topic = input.string();
        let ids: &[i32] = state.topics.get(&topic).map_or(&[], Vec::as_slice);
        let ids = if code == 0 { ids } else { &[] };
        output = output.i16(code).string(&topic).i32(ids.len() as i32);
        for id in ids {
            // Error, id, leader, no replicas, none in sync.
            let (code, leader) =
                if state.leaderless.contains(id) { (LEADER_NOT_AVAILABLE, -1) } else { (0, 1) };
            output = output.i16(code).i32(*id).i32(leader).i32(0).i32(0);
        }
    }
    output.0
}

fn produce(mut state: MutexGuard<'_, State>, input: &mut Input<'_>, code: i16) -> Vec<u8> {
    assert_eq!(input.i16(), -1, "all replicas are to confirm");
    let _timeout = input.i32();
    assert_eq!(input.i32(), 1, "one topic in a request");
    let topic = input.string();
    assert_eq!(input.i32(), 1, "one partition in a request");
    let (partition, set) = (input.i32(), input.sized());
    let code = state.failing.get(&partition).copied().unwrap_or(code);
    let code = if set.len() > state.batch_bytes_max { MESSAGE_TOO_LARGE } else { code };
    let mut offset = -1;
    if code == 0 {
        let log = state.logs.entry((topic.clone(), partition)).or_default();
        offset = append(log, Message::decode_set(set)) as i64;
    }
    Output::default().i32(1).string(&topic).i32(1).i32(partition).i16(code).i64(offset).0
}

fn fetch(
    mut state: MutexGuard<'_, State>,
    stored: &Condvar,
    input: &mut Input<'_>,
    code: i16,
) -> Vec<u8> {
    let (_replica, wait_ms, _bytes_min) = (input.i32(), input.i32(), input.i32());
    assert_eq!(input.i32(), 1, "one topic in a request");
    let topic = input.string();
    assert_eq!(input.i32(), 1, "one partition in a request");
    let (partition, offset, bytes_max) = (input.i32(), input.i64() as u64, input.i32());
    let place = (topic.clone(), partition);
    let code = state.failing.get(&partition).copied().unwrap_or(code);
    let wait = Duration::from_millis(wait_ms as u64);
    state = stored
        .wait_timeout_while(state, wait, |state| {
            let end = state.logs.get(&place).map_or(0, |log| log.start + log.messages.len() as u64);
            end == offset && code == 0
        })
        .unwrap()
        .0;
    let fetch_bytes_min = state.fetch_bytes_min;
    let log = state.logs.entry(place).or_default();
    let (end, mut set) = read_log(log, offset, bytes_max as usize);
    let is_inside = (log.start..=end).contains(&offset);
    let code = if is_inside { code } else { OFFSET_OUT_OF_RANGE };
    if code != 0 || bytes_max < fetch_bytes_min {
        set.clear();
    }
    let end = if code == 0 { end as i64 } else { -1 };
    let output = Output::default().i32(1).string(&topic).i32(1).i32(partition).i16(code);
    output.i64(end).sized(&set).0
}

fn offsets(mut state: MutexGuard<'_, State>, input: &mut Input<'_>, code: i16) -> Vec<u8> {
    let (_replica, _topics) = (input.i32(), input.i32());
    let topic = input.string();
    let count = input.i32();
    let mut output = Output::default().i32(1).string(&topic).i32(count);
    for _ in 0..count {
        let (partition, time, _max) = (input.i32(), input.i64(), input.i32());
        let log = state.logs.entry((topic.clone(), partition)).or_default();
        let offset = if time == -1 { log.start + log.messages.len() as u64 } else { log.start };
        output = output.i32(partition).i16(code).i32(1).i64(offset as i64);
    }
    output.0
}
