// Fifteen minutes of one host at its native rate, as columns that uPlot can draw as they are: one array of times, one
// array per series, all of one length. In a column `undefined` means "not sampled in this frame" (the line goes on) and
// `null` means a gap (the line ends): a gap is never bridged and never zero.

export const WINDOW_MS_MAX = 15 * 60_000;
const ROWS_MAX = 20_000;
const TRIM_ROWS = 60;
// A frame may be late by half an interval before the page calls it missing.
export const GAP_INTERVALS = 2.5;
// Marks a row that no frame gave: it only ends the lines.
export const GAP_ROW = 0;
const RANK_ROWS = 60;

export class HostWindow {
  constructor() {
    this.timesMs = [];
    this.intervalsMs = [];
    this.columns = new Map();
    this.derived = new Map();
    this.gaps = [];
    this.sessionStartsMs = [];
    this.lastTimeMs = -Infinity;
    this.lastIntervalMs = 1000;
    this.session = null;
    this.hasLate = false;
  }

  static fromSnapshot(window) {
    const made = new HostWindow();
    made.sessionStartsMs = [...(window.session_starts_ms ?? [])];
    const rowOf = window.time_ms.map((timeMs, i) => made.pushTime(timeMs, window.interval_ms[i]));
    for (const series of window.series) {
      const column = made.column(series.key);
      series.values.forEach((value, i) => {
        if (value !== null) column.put(rowOf[i], window.time_ms[i], value, window.interval_ms[i]);
      });
    }
    return made;
  }

  // True when the frame is the newest; a late one is put where it belongs, a known one changes nothing.
  append(frame) {
    if (this.session !== null && frame.session !== this.session) this.sessionStartsMs.push(frame.time_ms);
    this.session = frame.session;
    if (frame.time_ms <= this.lastTimeMs) {
      this.insertLate(frame);
      return false;
    }
    const row = this.pushTime(frame.time_ms, frame.interval_ms);
    for (const key in frame.values) {
      this.column(key).put(row, frame.time_ms, frame.values[key], frame.interval_ms);
    }
    this.trim(frame.time_ms);
    return true;
  }

  // Adds the row of a frame, and before it a row of gaps when frames are missing between.
  pushTime(timeMs, intervalMs) {
    const expectedMs = Math.max(intervalMs, this.lastIntervalMs);
    if (timeMs - this.lastTimeMs > GAP_INTERVALS * expectedMs && this.timesMs.length > 0) {
      this.gaps.push({ fromMs: this.lastTimeMs, toMs: timeMs });
      this.pushRow(this.lastTimeMs + expectedMs / 2, GAP_ROW, null);
    }
    this.lastTimeMs = timeMs;
    this.lastIntervalMs = intervalMs;
    return this.pushRow(timeMs, intervalMs, undefined);
  }

  pushRow(timeMs, intervalMs, filler) {
    this.timesMs.push(timeMs);
    this.intervalsMs.push(intervalMs);
    for (const column of this.columns.values()) column.values.push(filler);
    return this.timesMs.length - 1;
  }

  column(key) {
    let column = this.columns.get(key);
    if (column === undefined) {
      column = new Column(this.timesMs.length);
      this.columns.set(key, column);
    }
    return column;
  }

  insertLate(frame) {
    const at = lowerBound(this.timesMs, frame.time_ms);
    if (this.timesMs[at] === frame.time_ms && this.intervalsMs[at] !== GAP_ROW) return;
    this.timesMs.splice(at, 0, frame.time_ms);
    this.intervalsMs.splice(at, 0, frame.interval_ms);
    for (const key in frame.values) this.column(key);
    for (const [key, column] of this.columns) {
      if (column.values.length === this.timesMs.length) column.values[at] = frame.values[key];
      else column.values.splice(at, 0, frame.values[key]);
    }
    this.hasLate = true;
  }

  // Late frames may have filled gaps: finds the gaps anew, once for all that came before a paint.
  settle() {
    if (!this.hasLate) return;
    const { session } = this;
    Object.assign(this, HostWindow.fromSnapshot(this.asSnapshot(0, this.timesMs.length)));
    this.session = session;
  }

  // The frames from one row up to another, in the shape in which the server sends a window.
  asSnapshot(fromRow, toRow) {
    const rows = [];
    for (let row = fromRow; row < toRow; row++) if (this.intervalsMs[row] !== GAP_ROW) rows.push(row);
    return {
      session_starts_ms: this.sessionStartsMs,
      time_ms: rows.map((row) => this.timesMs[row]),
      interval_ms: rows.map((row) => this.intervalsMs[row]),
      series: [...this.columns].map(([key, column]) => ({ key, values: rows.map((row) => column.values[row] ?? null) })),
    };
  }

  // A column computed from others, e.g. a sum or a stack: computed once per row, as rows come. `compute(row)` may return
  // undefined (not sampled) or null (gap).
  derive(name, compute) {
    let values = this.derived.get(name);
    if (values === undefined) this.derived.set(name, (values = []));
    while (values.length < this.timesMs.length) values.push(compute(values.length));
    return values;
  }

  values(key) {
    return this.columns.get(key)?.values;
  }

  keys() {
    return this.columns.keys();
  }

  // A frame is one sample: nothing lies below or above it (compare picture.js).
  low() {
    return undefined;
  }

  high() {
    return undefined;
  }

  spanAt(row) {
    return { startMs: this.timesMs[row], widthMs: 0 };
  }

  // The last minute or so decides which devices are the worst.
  rankRows() {
    return { from: Math.max(0, this.timesMs.length - RANK_ROWS), to: this.timesMs.length };
  }

  trim(nowMs) {
    const limitMs = nowMs - WINDOW_MS_MAX;
    let rows = Math.max(0, this.timesMs.length - ROWS_MAX);
    while (rows < this.timesMs.length && this.timesMs[rows] < limitMs) rows += 1;
    if (rows < TRIM_ROWS) return;
    this.timesMs.splice(0, rows);
    this.intervalsMs.splice(0, rows);
    for (const column of this.columns.values()) {
      column.values.splice(0, rows);
      column.lastRow -= rows;
    }
    for (const values of this.derived.values()) values.splice(0, rows);
    this.gaps = this.gaps.filter((gap) => gap.toMs >= limitMs);
    this.sessionStartsMs = this.sessionStartsMs.filter((startMs) => startMs >= limitMs);
  }

  // This window with what an older one knows from before its first frame.
  withPast(old) {
    const fresh = this.asSnapshot(0, this.timesMs.length);
    const past = old.asSnapshot(0, lowerBound(old.timesMs, this.timesMs[0] ?? 0));
    if (past.time_ms.length === 0 || fresh.time_ms.length === 0) return this;
    const freshByKey = new Map(fresh.series.map((series) => [series.key, series.values]));
    const pastByKey = new Map(past.series.map((series) => [series.key, series.values]));
    const keys = new Set([...pastByKey.keys(), ...freshByKey.keys()]);
    const merged = HostWindow.fromSnapshot({
      session_starts_ms: [...new Set([...past.session_starts_ms, ...fresh.session_starts_ms])].sort((a, b) => a - b),
      time_ms: [...past.time_ms, ...fresh.time_ms],
      interval_ms: [...past.interval_ms, ...fresh.interval_ms],
      series: [...keys].map((key) => ({
        key,
        values: [...(pastByKey.get(key) ?? past.time_ms.map(() => null)), ...(freshByKey.get(key) ?? fresh.time_ms.map(() => null))],
      })),
    });
    const hole = merged.gaps.find((gap) => gap.toMs === fresh.time_ms[0]);
    if (hole) hole.cause = 'not kept by the server';
    return merged;
  }
}

class Column {
  constructor(length) {
    this.values = new Array(length).fill(undefined);
    this.lastRow = -1;
    this.lastTimeMs = -Infinity;
    this.stepMs = 0;
  }

  // A series may be sampled more rarely than the frames come; its own last step says what is expected of it.
  put(row, timeMs, value, intervalMs) {
    const stepMs = timeMs - this.lastTimeMs;
    if (this.lastRow >= 0 && row > this.lastRow + 1 && stepMs > GAP_INTERVALS * Math.max(this.stepMs, intervalMs)) {
      this.values[this.lastRow + 1] = null;
    }
    this.values[row] = value;
    this.stepMs = this.lastRow >= 0 ? stepMs : 0;
    this.lastRow = row;
    this.lastTimeMs = timeMs;
  }
}

export function lowerBound(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
