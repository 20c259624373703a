// An answer of `/api/query` as columns: per series the middles of its points and their smallest, mean and largest value
// (`low` and `high` are null where no point covers more than one).
// Made in a worker from the server's text, so that reading a megabyte never holds up a frame.

// Series by their canonical name: labels in order, escaped as the server does in the live stream.
export function seriesKey(metric, labels) {
  const names = Object.keys(labels ?? {}).sort();
  if (names.length === 0) return metric;
  const escaped = (value) => value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
  return `${metric}{${names.map((name) => `${name}="${escaped(labels[name])}"`).join(',')}}`;
}

// `document` is what the server sent. A point stands in the middle of its interval.
export function packAnswer(document, host) {
  const series = (document.series ?? []).filter((entry) => entry.host === host && entry.points.length > 0).map(packSeries);
  return {
    series,
    intervalMs: series.reduce((finest, entry) => Math.min(finest, entry.intervalMs), Infinity),
    rowsMs: unionOfTimes(series.map((entry) => entry.timesMs)),
    sessionStartsMs: document.session_starts_ms?.[host] ?? [],
    pointCount: series.reduce((count, entry) => count + entry.timesMs.length, 0),
  };
}

function packSeries({ metric, labels, interval_ms: intervalMs, points }) {
  const packed = {
    key: seriesKey(metric, labels), intervalMs,
    timesMs: new Float64Array(points.length),
    low: new Float32Array(points.length), mean: new Float32Array(points.length), high: new Float32Array(points.length),
  };
  let isSpread = false;
  points.forEach(([timeMs, min, mean, max], i) => {
    packed.timesMs[i] = timeMs + intervalMs / 2;
    packed.low[i] = min;
    packed.mean[i] = mean;
    packed.high[i] = max;
    isSpread ||= min < max;
  });
  // One sample a point: there is nothing below or above it.
  return isSpread ? packed : { ...packed, low: null, high: null };
}

// What a worker hands over instead of copying.
export function buffersOf(packed) {
  return [packed.rowsMs.buffer, ...packed.series.flatMap((entry) => [entry.timesMs, entry.low, entry.mean, entry.high].filter(Boolean).map((column) => column.buffer))];
}

// Every time that occurs, ascending. Most series of a host share theirs, so equal columns are looked at once.
function unionOfTimes(columns) {
  const different = [];
  for (const column of columns) {
    if (!different.some((other) => isEqual(other, column))) different.push(column);
  }
  if (different.length === 1) return different[0].slice();
  const union = new Set();
  for (const column of different) for (const timeMs of column) union.add(timeMs);
  return Float64Array.from(union).sort();
}

function isEqual(one, other) {
  return one.length === other.length && one.every((value, i) => value === other[i]);
}
