// What the page knows: every host's newest values, the windows of opened hosts, and what the server says about itself.
// Events go in (`snapshot`, `frames`, `heartbeat`), views read; nothing here draws.
import { serverClock } from './clock.js';
import { HostWindow } from './host_window.js';

export const COLUMN = {
  cpu: 0, memoryPercent: 1, memoryUsed: 2, memoryTotal: 3, diskRead: 4, diskWrite: 5,
  networkReceive: 6, networkTransmit: 7, processes: 8, load: 9, uptime: 10,
};
const SUMMARY_COLUMNS = [
  'cpu_usage_percent', 'memory_used_percent', 'memory_used_bytes', 'memory_total_bytes',
  'disk_read_bytes_per_second', 'disk_write_bytes_per_second',
  'network_receive_bytes_per_second', 'network_transmit_bytes_per_second', 'process_count', 'load1', 'uptime_seconds',
];
const SPARK_POINTS_MAX = 60;

class Host {
  constructor(name) {
    this.name = name;
    this.values = new Float64Array(SUMMARY_COLUMNS.length).fill(NaN);
    this.spark = { timesMs: [], values: [] };
    this.labels = {};
    this.over = {};
    this.timeMs = null;
    this.arrivedMs = 0;
    this.intervalMs = 1000;
    this.serverState = 'live';
    this.reason = null;
    this.session = null;
    this.searchText = name;
    this.health = { level: 'ok', kind: null, text: '', sinceMs: 0 };
  }

  // The summary of a snapshot: everything at once.
  describe(summary, arrivedMs) {
    this.serverState = summary.state;
    this.reason = summary.reason;
    this.session = summary.session;
    this.intervalMs = summary.interval_ms ?? 1000;
    this.labels = summary.labels ?? {};
    this.timeMs = summary.time_ms;
    this.arrivedMs = arrivedMs - (summary.age_ms ?? 0);
    this.searchText = [this.name, ...Object.entries(this.labels).map(([key, value]) => `${key}=${value}`)].join(' ').toLowerCase();
    SUMMARY_COLUMNS.forEach((name, i) => {
      this.values[i] = summary.values?.[name] ?? NaN;
    });
    if (summary.spark) {
      this.spark = { timesMs: summary.spark.map((point) => point[0]), values: summary.spark.map((point) => point[1]) };
    }
  }

  // False for a frame that is not newer than what is shown: back-filled, or sent by two overlapping streams.
  takeRow(row, pushedMs, arrivedMs) {
    const [, , intervalMs, timeMs, , , , values] = row;
    if (this.timeMs !== null && timeMs <= this.timeMs) return false;
    this.intervalMs = intervalMs;
    this.timeMs = timeMs;
    this.arrivedMs = arrivedMs;
    // Backlog does not make a host fresh: only a frame of now does.
    if (pushedMs - timeMs < silentAfterMs(intervalMs)) this.serverState = 'live';
    for (let i = 0; i < this.values.length; i++) this.values[i] = values[i] ?? NaN;
    pushSpark(this.spark, timeMs, values[COLUMN.cpu] ?? NaN, intervalMs);
    return true;
  }
}

export function silentAfterMs(intervalMs) {
  return Math.max(3 * intervalMs, 2000);
}

function pushSpark(spark, timeMs, value, intervalMs) {
  const lastMs = spark.timesMs[spark.timesMs.length - 1];
  if (lastMs !== undefined && timeMs - lastMs > 2.5 * intervalMs) {
    spark.timesMs.push(lastMs + intervalMs);
    spark.values.push(NaN);
  }
  spark.timesMs.push(timeMs);
  spark.values.push(value);
  while (spark.timesMs.length > SPARK_POINTS_MAX) {
    spark.timesMs.shift();
    spark.values.shift();
  }
}

class Store {
  constructor() {
    this.hosts = new Map();
    this.windows = new Map();
    this.sessions = new Map();
    this.server = { bus: { state: 'ok' }, ledger: null, stages: null, counts: {}, history: null, insecure: false, version: null, run: null, viewers: null };
    this.changedHosts = new Set();
    this.isListChanged = true;
    this.hasSnapshot = false;
  }

  takeSnapshot(snapshot, arrivedMs) {
    if (snapshot.run !== this.server.run) serverClock.reset();
    serverClock.heard(snapshot.server_time_ms, arrivedMs);
    this.takeServer(snapshot);
    Object.assign(this.server, { insecure: snapshot.insecure, version: snapshot.version, run: snapshot.run });
    if (snapshot.summary) this.takeSummary(snapshot.summary.hosts, arrivedMs);
    for (const entry of snapshot.hosts ?? []) this.takeOpened(entry, arrivedMs);
    this.hasSnapshot = true;
  }

  takeSummary(summaries, arrivedMs) {
    const known = new Set(summaries.map((summary) => summary.host));
    for (const name of this.hosts.keys()) if (!known.has(name)) this.hosts.delete(name);
    for (const summary of summaries) this.host(summary.host).describe(summary, arrivedMs);
    this.isListChanged = true;
  }

  // The 15 minutes of one opened host. What the page still has from before the server's window is kept: a server that
  // restarted without its past leaves a hole, not an empty chart.
  takeOpened(entry, arrivedMs) {
    if (!entry.window) return;
    const name = entry.summary.host;
    if (!this.hosts.has(name)) this.host(name).describe(entry.summary, arrivedMs);
    const fresh = HostWindow.fromSnapshot(entry.window);
    const old = this.windows.get(name);
    this.windows.set(name, old ? fresh.withPast(old) : fresh);
    this.sessions.set(name, entry.sessions ?? []);
  }

  // Returns the frames that are news, for the measurement of latency.
  takeFrames(batch, arrivedMs) {
    serverClock.heard(batch.pushed_ms, arrivedMs);
    const fresh = [];
    for (const row of batch.rows ?? []) {
      const host = this.host(row[0]);
      if (!host.takeRow(row, batch.pushed_ms, arrivedMs)) continue;
      this.changedHosts.add(host);
      fresh.push(row[3]);
    }
    for (const frame of batch.frames ?? []) {
      let window = this.windows.get(frame.host);
      if (!window) this.windows.set(frame.host, (window = new HostWindow()));
      if (window.append(frame) && !batch.rows) fresh.push(frame.time_ms);
    }
    return fresh;
  }

  takeHeartbeat(beat, arrivedMs) {
    serverClock.heard(beat.server_time_ms, arrivedMs);
    this.takeServer(beat);
    this.server.viewers = beat.viewers ?? null;
    for (const [name, state, ageMs, reason] of beat.states ?? []) {
      const host = this.host(name);
      host.serverState = state;
      host.reason = reason;
      if (state !== 'live') host.arrivedMs = Math.min(host.arrivedMs || Infinity, arrivedMs - ageMs);
      this.changedHosts.add(host);
    }
    for (const name of beat.removed ?? []) {
      this.hosts.delete(name);
      this.windows.delete(name);
      this.sessions.delete(name);
      this.isListChanged = true;
    }
  }

  takeServer(event) {
    for (const key of ['bus', 'ledger', 'stages', 'counts', 'history']) {
      if (event[key] !== undefined) this.server[key] = event[key];
    }
  }

  host(name) {
    let host = this.hosts.get(name);
    if (host === undefined) {
      host = new Host(name);
      this.hosts.set(name, host);
      this.isListChanged = true;
    }
    return host;
  }

  // Windows of hosts nobody looks at any more are let go.
  keepWindows(names) {
    for (const name of this.windows.keys()) if (!names.includes(name)) this.windows.delete(name);
  }
}

export const store = new Store();
