// Which stretch of time all charts of a host page show: live, its right edge moving with the clock, or a fixed stretch of
// the past. Zooming in and panning back pause it; whoever arrives at now again is live again.

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

export const WINDOWS_MS = [
  MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS, 90 * DAY_MS,
];
// Without a choice the page takes the shortest of these that holds all the live window has.
const UNCHOSEN_MS = WINDOWS_MS.slice(0, 3);
// Two seconds hold forty frames of the fastest host; a year is more than any default keeps.
const SPAN_MS_MIN = 2_000;
const SPAN_MS_MAX = 366 * DAY_MS;
// So near to the right edge of a live chart the wheel means "less of now", not "this moment".
const EDGE_SHARE = 0.97;
const LIVE_SHARE = 0.02;

export class TimeRange {
  // onChange(): what is seen has changed by somebody's hand.
  constructor(onChange) {
    this.onChange = onChange;
    // What was chosen: a length or null, and the end of a stretch of the past or null for live.
    this.spanMs = null;
    this.toMs = null;
    // While a pointer is down the picture stands still; what it marks is shown on every chart.
    this.held = null;
    this.selection = null;
    this.last = { fromMs: 0, toMs: MINUTE_MS, spanMs: MINUTE_MS, isLive: true };
    this.nowMs = 0;
    this.heldMs = 0;
  }

  // Takes over what an address says.
  follow({ spanMs, toMs }) {
    this.spanMs = spanMs === null ? null : clampSpan(spanMs);
    this.toMs = toMs;
    this.held = null;
    this.selection = null;
  }

  // `nowMs` by the server's clock; `heldMs`: how much the live window holds.
  seen(nowMs, heldMs) {
    Object.assign(this, { nowMs, heldMs });
    const spanMs = this.spanMs ?? UNCHOSEN_MS.find((choice) => heldMs < choice) ?? UNCHOSEN_MS.at(-1);
    const toMs = this.held?.toMs ?? this.toMs ?? Math.round(nowMs);
    this.last = { fromMs: toMs - spanMs, toMs, spanMs, isLive: this.toMs === null, isMoving: this.held !== null };
    return this.last;
  }

  isPast() {
    return this.toMs !== null;
  }

  hold() {
    this.held = { toMs: this.last.toMs };
  }

  release() {
    this.held = null;
    this.select(null);
  }

  select(selection) {
    this.selection = selection;
    this.onChange(false);
  }

  // A stretch somebody marked: always a pause, even where it ends now.
  zoomTo(fromMs, toMs) {
    const spanMs = clampSpan(toMs - fromMs);
    this.set(spanMs, (fromMs + toMs + spanMs) / 2);
  }

  // Around a moment that stays where it is.
  zoomAt(atMs, factor) {
    const { fromMs, spanMs, isLive } = this.last;
    const newSpanMs = clampSpan(spanMs * factor);
    const share = (atMs - fromMs) / spanMs;
    if (isLive && share > EDGE_SHARE) return this.set(newSpanMs, null);
    this.place(atMs + (1 - share) * newSpanMs, newSpanMs);
  }

  // By key: around the middle, or live around now.
  zoomBy(factor) {
    this.setSpan(this.last.spanMs * factor);
  }

  panBy(ms) {
    this.place(this.last.toMs + ms, this.last.spanMs);
  }

  setSpan(spanMs) {
    const { fromMs, toMs, isLive } = this.last;
    const newSpanMs = clampSpan(spanMs);
    if (isLive) this.set(newSpanMs, null);
    else this.place((fromMs + toMs + newSpanMs) / 2, newSpanMs);
  }

  // The next shorter or longer window.
  step(step) {
    const { spanMs } = this.last;
    const next = step > 0 ? WINDOWS_MS.find((choice) => choice > spanMs * 1.001) : WINDOWS_MS.findLast((choice) => choice < spanMs * 0.999);
    if (next !== undefined) this.setSpan(next);
  }

  togglePause() {
    if (this.isPast()) this.goLive();
    else this.set(this.last.spanMs, this.last.toMs);
  }

  goLive() {
    this.set(this.isPast() ? this.last.spanMs : this.spanMs, null);
  }

  // Whoever arrives at now is live; now has moved on while one was away.
  place(toMs, spanMs) {
    const span = clampSpan(spanMs);
    this.set(span, toMs >= this.nowMs - span * LIVE_SHARE ? null : toMs);
  }

  set(spanMs, toMs) {
    this.spanMs = spanMs === null ? null : Math.round(spanMs);
    this.toMs = toMs === null ? null : Math.round(Math.max(toMs, spanMs));
    this.held = this.held && this.toMs !== null ? { toMs: this.toMs } : null;
    // The next step may come before the next frame.
    this.seen(this.nowMs, this.heldMs);
    this.onChange(true);
  }
}

function clampSpan(spanMs) {
  return Math.min(SPAN_MS_MAX, Math.max(SPAN_MS_MIN, spanMs));
}
