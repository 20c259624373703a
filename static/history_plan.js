// What to ask of the past: how wide a point, and which stretch, rounded so that the same view always asks the same.

const SECOND_MS = 1_000;
// Widths of a point: close enough that one of them fits every width of a screen, and whole tens and minutes where history
// keeps only those.
const STEPS_MS = [
  1, 2, 3, 5, 10, 20, 30, 60, 120, 180, 240, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 28_800, 43_200, 86_400,
].map((seconds) => seconds * SECOND_MS);
// One point a pixel, rounded up, so that windows of nearly one size share their answers.
const WIDTH_ROUNDED_TO_PX = 250;
// Stretches begin and end at multiples of so many points.
const TILE_POINTS = 250;

// How wide a point is at least, for so many pixels. `isFine`: history has nothing that fine, the live window has.
export function stepFor(spanMs, widthPx, coarsening) {
  const points = Math.max(1, Math.ceil(widthPx / WIDTH_ROUNDED_TO_PX)) * WIDTH_ROUNDED_TO_PX;
  const at = STEPS_MS.findIndex((stepMs) => stepMs * points >= spanMs);
  const index = Math.min(STEPS_MS.length - 1, (at < 0 ? STEPS_MS.length : at) + coarsening);
  return { stepMs: STEPS_MS[index], isFine: spanMs / points < SECOND_MS };
}

// The tiles around a stretch.
export function tilesAround({ fromMs, toMs }, stepMs) {
  const tileMs = TILE_POINTS * stepMs;
  return { fromMs: Math.floor(fromMs / tileMs) * tileMs, toMs: Math.ceil(toMs / tileMs) * tileMs };
}

export function floorTo(valueMs, stepMs) {
  return Math.floor(valueMs / stepMs) * stepMs;
}

export function ceilTo(valueMs, stepMs) {
  return Math.ceil(valueMs / stepMs) * stepMs;
}

export function queryAddress(host, metrics, { fromMs, toMs, points, format }) {
  const query = new URLSearchParams({ host });
  for (const metric of metrics) query.append('metric', metric);
  query.append('from', Math.round(fromMs));
  query.append('to', Math.round(toMs));
  query.append('points', points);
  if (format) query.append('format', format);
  return `/api/query?${query}`;
}
