// What the charts draw when a view reaches beyond the live window: pieces of history and of the live window put together
// as one set of columns, in the form of a HostWindow (host_window.js). Columns are built when a chart first asks for them.
import { floorTo } from './history_plan.js';
import { GAP_INTERVALS, GAP_ROW, lowerBound } from './host_window.js';

export class Picture {
  // pieces: [{ fromMs, toMs, answer }] in order; `answer` is a HistoryAnswer, a LiveFold or a NativeRows.
  constructor(pieces, sessionStartsMs) {
    this.pieces = pieces;
    this.sessionStartsMs = sessionStartsMs;
    this.timesMs = [];
    // How long a row stands for, and GAP_ROW for one that only ends the lines.
    this.widthsMs = [];
    this.gaps = [];
    this.built = new Map();
    this.derived = new Map();
    this.lastTimeMs = pieces.length > 0 ? pieces[0].fromMs : -Infinity;
    this.knownToMs = this.lastTimeMs;
    for (const piece of pieces) this.addRows(piece);
    this.ranked = { from: 0, to: this.timesMs.length };
  }

  addRows(piece) {
    const { answer, fromMs, toMs } = piece;
    // What lies between two pieces is not known: no line, and no gap either.
    if (fromMs > this.knownToMs) {
      if (this.timesMs.length > 0) this.pushGap((this.knownToMs + fromMs) / 2);
      this.lastTimeMs = fromMs;
    }
    const { rowsMs } = answer;
    piece.firstRow = this.timesMs.length;
    for (let at = lowerBound(rowsMs, fromMs); at < rowsMs.length && rowsMs[at] < toMs; at++) {
      const widthMs = answer.widthAt(at);
      const startMs = rowsMs[at] - (answer.isPoint ? 0 : widthMs / 2);
      if (startMs - this.lastTimeMs > (GAP_INTERVALS - (answer.isPoint ? 0 : 1)) * Math.max(widthMs, this.widthsMs.at(-1) ?? 0)) this.addGap(startMs);
      this.timesMs.push(rowsMs[at]);
      this.widthsMs.push(widthMs);
      this.lastTimeMs = answer.isPoint ? rowsMs[at] : rowsMs[at] + widthMs / 2;
    }
    piece.endRow = this.timesMs.length;
    this.knownToMs = toMs;
  }

  // From the last row's end up to a moment: frames are missing there, or there never were any.
  addGap(toMs) {
    const isFirst = this.timesMs.length === 0;
    this.gaps.push({ fromMs: this.lastTimeMs, toMs, cause: isFirst ? 'nothing recorded' : null });
    if (!isFirst) this.pushGap((this.lastTimeMs + toMs) / 2);
  }

  pushGap(timeMs) {
    this.timesMs.push(timeMs);
    this.widthsMs.push(GAP_ROW);
  }

  // Rows by which the worst devices are found: those in view.
  setView(fromMs, toMs) {
    this.ranked = { from: lowerBound(this.timesMs, fromMs), to: lowerBound(this.timesMs, toMs) };
  }

  rankRows() {
    return this.ranked;
  }

  keys() {
    const keys = new Set();
    for (const { answer } of this.pieces) for (const key of answer.keys()) keys.add(key);
    return keys;
  }

  values(key) {
    return this.columns(key)?.mean;
  }

  // undefined where no point of the series stands for more than one sample.
  low(key) {
    const columns = this.columns(key);
    return columns?.isSpread ? columns.low : undefined;
  }

  high(key) {
    const columns = this.columns(key);
    return columns?.isSpread ? columns.high : undefined;
  }

  columns(key) {
    if (!this.built.has(key)) this.built.set(key, this.build(key));
    return this.built.get(key);
  }

  // undefined: not sampled here, the line goes on; null: a gap, the line ends.
  build(key) {
    const blank = () => this.widthsMs.map((widthMs) => (widthMs === GAP_ROW ? null : undefined));
    const columns = { low: blank(), mean: blank(), high: blank(), isSpread: false };
    const last = { row: -1, timeMs: -Infinity, widthMs: 0 };
    let isKnown = false;
    for (const piece of this.pieces) {
      const series = piece.answer.get(key);
      if (series === undefined) continue;
      isKnown = true;
      this.fill(columns, piece, series, last);
    }
    return isKnown ? columns : undefined;
  }

  fill(columns, { firstRow, endRow }, { timesMs, intervalMs, low, mean, high }, last) {
    let at = lowerBound(timesMs, this.timesMs[firstRow] ?? Infinity);
    for (let row = firstRow; row < endRow && at < timesMs.length; row++) {
      if (this.timesMs[row] !== timesMs[at]) continue;
      const expectedMs = Math.max(intervalMs, last.widthMs);
      if (last.row >= 0 && row > last.row + 1 && timesMs[at] - last.timeMs > GAP_INTERVALS * expectedMs) {
        for (const column of [columns.low, columns.mean, columns.high]) column[last.row + 1] = null;
      }
      columns.mean[row] = mean[at];
      if (high !== null) {
        columns.low[row] = low[at];
        columns.high[row] = high[at];
        columns.isSpread = true;
      }
      Object.assign(last, { row, timeMs: timesMs[at], widthMs: intervalMs });
      at += 1;
    }
  }

  // What a row stands for: { startMs, widthMs }; a frame is a moment.
  spanAt(row) {
    const piece = this.pieces.find(({ firstRow, endRow }) => row >= firstRow && row < endRow);
    const widthMs = piece === undefined || piece.answer.isPoint ? 0 : this.widthsMs[row];
    return { startMs: this.timesMs[row] - widthMs / 2, widthMs };
  }

  derive(name, compute) {
    if (!this.derived.has(name)) this.derived.set(name, this.timesMs.map((_, row) => compute(row)));
    return this.derived.get(name);
  }

  // How wide a point is in most of a view; 0 where frames are shown as they came.
  pointMs(fromMs, toMs) {
    let widest = null;
    for (const piece of this.pieces) {
      const sharedMs = Math.min(toMs, piece.toMs) - Math.max(fromMs, piece.fromMs);
      if (sharedMs > (widest?.sharedMs ?? 0) && piece.endRow > piece.firstRow) widest = { sharedMs, pointMs: piece.answer.isPoint ? 0 : piece.answer.intervalMs };
    }
    return widest?.pointMs ?? null;
  }

  // Whether something is known, or known to be nothing, about every moment of a view.
  covers(fromMs, toMs) {
    let atMs = fromMs;
    for (const piece of this.pieces) if (piece.fromMs <= atMs) atMs = Math.max(atMs, piece.toMs);
    return atMs >= toMs;
  }
}

// The live window from a moment on, folded into points as wide as those of the history before it. `seed`: an answer that
// knows the first of them up to that moment.
export class LiveFold {
  constructor(window, fromMs, stepMs, seed) {
    this.window = window;
    this.fromMs = fromMs;
    this.stepMs = stepMs;
    this.seed = seed;
    this.intervalMs = Math.max(stepMs, window.lastIntervalMs);
    this.isPoint = false;
    const rows = seed?.rowsMs.includes(this.middleOf(fromMs)) ? [this.middleOf(fromMs)] : [];
    window.timesMs.forEach((timeMs, row) => {
      if (timeMs < fromMs || window.intervalsMs[row] === GAP_ROW) return;
      const middleMs = this.middleOf(timeMs);
      if (middleMs !== rows.at(-1)) rows.push(middleMs);
    });
    this.rowsMs = rows;
  }

  middleOf(timeMs) {
    return floorTo(timeMs, this.stepMs) + this.stepMs / 2;
  }

  widthAt() {
    return this.intervalMs;
  }

  keys() {
    return this.window.keys();
  }

  get(key) {
    const column = this.window.columns.get(key);
    if (column === undefined) return undefined;
    const points = { timesMs: [], low: [], mean: [], high: [], intervalMs: Math.max(this.intervalMs, column.stepMs) };
    let { count, sum } = this.plant(points, key);
    let isSpread = count > 0;
    for (let row = lowerBound(this.window.timesMs, this.fromMs); row < column.values.length; row++) {
      const value = column.values[row];
      if (typeof value !== 'number') continue;
      const middleMs = this.middleOf(this.window.timesMs[row]);
      const at = points.timesMs.length - 1;
      if (points.timesMs[at] !== middleMs) {
        points.timesMs.push(middleMs);
        for (const part of [points.low, points.mean, points.high]) part.push(value);
        count = 1;
        sum = value;
        continue;
      }
      isSpread = true;
      count += 1;
      sum += value;
      points.mean[at] = sum / count;
      if (value < points.low[at]) points.low[at] = value;
      if (value > points.high[at]) points.high[at] = value;
    }
    return isSpread ? points : { ...points, low: null, high: null };
  }

  // Begins with what history knew of the first point: as many samples as frames of now would have made in that time.
  plant(points, key) {
    const series = this.seed?.get(key);
    const middleMs = this.middleOf(this.fromMs);
    const at = series === undefined ? -1 : series.timesMs.lastIndexOf(middleMs);
    if (at < 0) return { count: 0, sum: 0 };
    const count = Math.max(1, (this.fromMs - middleMs + this.stepMs / 2) / this.window.lastIntervalMs);
    points.timesMs.push(middleMs);
    points.low.push(series.low?.[at] ?? series.mean[at]);
    points.mean.push(series.mean[at]);
    points.high.push(series.high?.[at] ?? series.mean[at]);
    return { count, sum: count * series.mean[at] };
  }
}

// The live window from a moment on, frame by frame.
export class NativeRows {
  constructor(window, fromMs) {
    this.window = window;
    this.isPoint = true;
    this.intervalMs = window.lastIntervalMs;
    const first = lowerBound(window.timesMs, fromMs);
    this.rows = [];
    for (let row = first; row < window.timesMs.length; row++) if (window.intervalsMs[row] !== GAP_ROW) this.rows.push(row);
    this.rowsMs = this.rows.map((row) => window.timesMs[row]);
  }

  widthAt(at) {
    return this.window.intervalsMs[this.rows[at]];
  }

  keys() {
    return this.window.keys();
  }

  get(key) {
    const column = this.window.columns.get(key);
    if (column === undefined) return undefined;
    const rows = this.rows.filter((row) => typeof column.values[row] === 'number');
    return { timesMs: rows.map((row) => this.window.timesMs[row]), low: null, mean: rows.map((row) => column.values[row]), high: null, intervalMs: Math.max(this.intervalMs, column.stepMs) };
  }
}
