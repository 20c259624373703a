// What the charts draw, against a plain model: every sample of a host that comes and goes, asked for at any stretch and
// any zoom. No browser: the modules of the page that put pictures together touch none of it.
import { HistoryAnswer } from '../../../static/history_cache.js';
import { packAnswer } from '../../../static/history_answer.js';
import { tilesAround } from '../../../static/history_plan.js';
import { HostPicture } from '../../../static/host_picture.js';
import { GAP_ROW, HostWindow, lowerBound } from '../../../static/host_window.js';
import { TimeRange, WINDOWS_MS } from '../../../static/time_range.js';
import { addressOfSpan, spanOfAddress, spanText } from '../../../static/time_text.js';
import { check, say } from './browser.mjs';

let nowMs = 1_763_852_817_000;
const KEY = 'load1';
const LIVE_MS = 15 * 60_000;
const CASES = 400;
// How far apart samples are, and over how long.
const PACES = [[1_000, 4 * 3_600_000], [10_000, 86_400_000], [60_000, 60 * 86_400_000]];

// xorshift: the same cases for the same seed.
function dice(seed) {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

// [time, value], `paceMs` apart with a few milliseconds of jitter, and holes of any length.
function samplesOf(roll, paceMs, spanMs) {
  const samples = [];
  let timeMs = nowMs - spanMs / 2 - roll(spanMs);
  for (; timeMs < nowMs; timeMs += paceMs) {
    if (roll(700) === 0) timeMs += paceMs * (1 + roll(roll(2) === 0 ? 5 : 900));
    if (timeMs < nowMs) samples.push([timeMs + roll(5), roll(1_000) / 10 + (roll(3_000) === 0 ? 500 : 0)]);
  }
  return samples;
}

function foldedInto(stepMs, samples) {
  const points = new Map();
  for (const [timeMs, value] of samples) {
    const startMs = Math.floor(timeMs / stepMs) * stepMs;
    const point = points.get(startMs) ?? { low: Infinity, high: -Infinity, sum: 0, count: 0 };
    points.set(startMs, { low: Math.min(point.low, value), high: Math.max(point.high, value), sum: point.sum + value, count: point.count + 1 });
  }
  return points;
}

// No point is finer than it was sampled.
function answerOf(samples, paceMs, { fromMs, toMs, stepMs, askedMs }) {
  const intervalMs = Math.max(stepMs, paceMs);
  const points = [...foldedInto(intervalMs, samples.filter(([timeMs]) => timeMs >= fromMs && timeMs < toMs))];
  const series = { host: 'h', metric: KEY, labels: {}, interval_ms: intervalMs, points: points.map(([startMs, { low, high, sum, count }]) => [startMs, low, sum / count, high]) };
  return new HistoryAnswer({ fromMs, toMs, stepMs, askedMs }, packAnswer({ series: [series], session_starts_ms: {} }, 'h'));
}

function windowOf(samples, paceMs) {
  const live = samples.filter(([timeMs]) => timeMs >= nowMs - LIVE_MS);
  return HostWindow.fromSnapshot({ time_ms: live.map(([timeMs]) => timeMs), interval_ms: live.map(() => paceMs), series: [{ key: KEY, values: live.map(([, value]) => value) }] });
}

function checkCase(seed) {
  const roll = dice(seed * 7_919 + 13);
  nowMs += roll(86_400_000);
  const [paceMs, heldMs] = PACES[roll(PACES.length)];
  const samples = samplesOf(roll, paceMs, heldMs);
  const window = windowOf(samples, paceMs);
  const spanMs = 60_000 + roll(heldMs);
  const toMs = roll(2) === 0 ? nowMs : nowMs - roll(heldMs / 2);
  const range = { fromMs: toMs - spanMs, toMs, spanMs, isLive: toMs === nowMs, isMoving: false };
  const page = new HostPicture(() => {});
  let wanted = null;
  page.history.plan = (next) => {
    wanted = next;
  };
  const view = { server: { history: { state: 'ok' }, run: 'r' }, serverNowMs: nowMs, nowMs: 0 };
  const widthPx = 300 + roll(1_500);
  const draw = () => page.of(window, range, view, widthPx).shown;
  let shown = draw();
  // Whatever is asked for is answered, until nothing is; sometimes something coarser was known before.
  for (let asked = 0; wanted !== null && shown !== window; asked++) {
    check(asked < 6, `seed ${seed}: asks without end: ${JSON.stringify(wanted)}`);
    const known = { ...wanted, toMs: Math.min(wanted.toMs, nowMs - roll(2) * roll(60_000)), askedMs: performance.now() };
    if (roll(3) === 0) page.history.cache.add(answerOf(samples, paceMs, { ...known, ...tilesAround(known, wanted.stepMs * 10), stepMs: wanted.stepMs * 10 }));
    checkOrder(seed, draw());
    if (known.toMs > known.fromMs) page.history.cache.add(answerOf(samples, paceMs, known));
    wanted = null;
    shown = draw();
    if (shown !== window) checkOrder(seed, shown);
  }
  if (shown === window) return 0;
  return checkPicture(seed, shown, samples, paceMs, range);
}

function checkOrder(seed, shown) {
  shown.timesMs.forEach((timeMs, row) => check(row === 0 || timeMs > shown.timesMs[row - 1], `seed ${seed}: row ${row} stands before the one before it`));
}

// Each row is what the samples of its time make, all samples of the view are in a row, no line crosses a hole.
function checkPicture(seed, shown, samples, paceMs, { fromMs, toMs }) {
  const where = (row) => `seed ${seed}, row ${row} of ${shown.timesMs.length} at ${shown.timesMs[row]}`;
  const [times, values] = [samples.map(([timeMs]) => timeMs), samples.map(([, value]) => value)];
  const [mean, low, high] = [shown.values(KEY) ?? [], shown.low(KEY), shown.high(KEY)];
  let seen = 0;
  let lastRow = null;
  for (let row = 0; row < shown.timesMs.length; row++) {
    if (shown.widthsMs[row] === GAP_ROW || mean[row] === null) lastRow = null;
    if (typeof mean[row] !== 'number') continue;
    const { startMs, widthMs } = shown.spanAt(row);
    const endMs = startMs + Math.max(1, widthMs);
    const inside = values.slice(lowerBound(times, startMs), lowerBound(times, endMs));
    check(inside.length > 0, `${where(row)}: a value out of nothing`);
    const truth = { mean: inside.reduce((sum, value) => sum + value, 0) / inside.length, low: Math.min(...inside), high: Math.max(...inside) };
    // The mean of a point that history has begun and the live window goes on with is as good as the pace is steady.
    const isOpen = endMs > nowMs;
    const isSteady = inside.length > (0.95 * (nowMs - startMs)) / paceMs;
    check(Math.abs(mean[row] - truth.mean) < (!isOpen ? 0.01 : isSteady ? 3 : 60), `${where(row)}: mean ${mean[row]}, the samples say ${truth.mean}`);
    check(Math.abs((high?.[row] ?? mean[row]) - truth.high) < 0.01, `${where(row)}: max ${high?.[row] ?? mean[row]}, the samples say ${truth.high}`);
    check(Math.abs((low?.[row] ?? mean[row]) - truth.low) < 0.01, `${where(row)}: min ${low?.[row] ?? mean[row]}, the samples say ${truth.low}`);
    if (startMs >= fromMs && endMs <= toMs) seen += inside.length;
    if (lastRow !== null) checkBridge(where(row), paceMs, lastRow, { startMs, widthMs });
    lastRow = { startMs, widthMs };
  }
  const edgeMs = 2 * Math.max(paceMs, ...shown.widthsMs);
  const inView = samples.filter(([timeMs]) => timeMs >= fromMs + edgeMs && timeMs < toMs - edgeMs);
  check(seen >= inView.length, `seed ${seed}: ${inView.length} samples are in view, the rows hold ${seen}`);
  return seen;
}

function checkBridge(where, paceMs, before, now) {
  const holeMs = now.startMs - (before.startMs + before.widthMs);
  const expectedMs = Math.max(paceMs, before.widthMs, now.widthMs);
  check(holeMs <= 2.5 * expectedMs + 10, `${where}: a line over ${holeMs} ms without a sample`);
}

function checkRange() {
  const range = new TimeRange(() => {});
  const see = () => range.seen(nowMs, 20_000);
  check(see().spanMs === WINDOWS_MS[0] && see().isLive, 'the shortest window that holds all there is');
  for (const expected of WINDOWS_MS.slice(1)) {
    range.step(1);
    check(see().spanMs === expected && see().isLive, `a longer window: ${see().spanMs}`);
  }
  range.panBy(-see().spanMs / 2);
  check(!see().isLive && see().toMs === nowMs - 45 * 86_400_000, 'half a window back');
  const atMs = see().fromMs + 1e9;
  range.zoomAt(atMs, 0.5);
  const { fromMs, spanMs } = see();
  check(Math.abs(atMs - fromMs - 0.5e9) < 2 && spanMs === 45 * 86_400_000, 'what is under the pointer stays there');
  range.panBy(200 * 86_400_000);
  check(see().isLive, 'whoever arrives at now is live');
  range.zoomTo(nowMs - 1_000, nowMs - 900);
  check(see().spanMs === 2_000, 'not shorter than two seconds');
  range.goLive();
  range.togglePause();
  check(!see().isLive && see().toMs === nowMs, 'paused where it was');
  for (const choice of [...WINDOWS_MS, 95_000]) check(spanOfAddress(addressOfSpan(choice)) === choice, `the address of ${choice} ms: ${addressOfSpan(choice)}`);
  for (const [ms, text] of [[1_000, '1 s'], [90_000, '1 min 30 s'], [86_400_000, '24 h'], [90 * 86_400_000, '90 d']]) check(spanText(ms) === text, `${ms} ms: "${spanText(ms)}"`);
}

try {
  checkRange();
  let samples = 0;
  for (let seed = 1; seed <= CASES; seed++) samples += checkCase(seed);
  check(samples > 100_000, `only ${samples} samples were compared`);
  say({ done: { cases: CASES, samples } });
  process.exit(0);
} catch (error) {
  say({ failed: String(error.stack ?? error) });
  process.exit(1);
}
