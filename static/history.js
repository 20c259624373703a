// The past of one host: asks for what a view lacks, one question at a time, and keeps the answers. Views say what they
// need in every frame; nothing is asked twice, and nothing while a hand still moves.
import { monotonicMs } from './clock.js';
import { HistoryAnswer, HistoryCache } from './history_cache.js';
import { ceilTo, queryAddress, stepFor, tilesAround } from './history_plan.js';

// A hand that zooms or pans is followed when it rests for so long.
const SETTLE_MS = 120;
const CALM_MS = 500;
// What arrived late (an hour that a client had spooled) is seen after this time at the latest.
const ANSWER_GOOD_FOR_MS = 10 * 60_000;
const HISTORY_RETRY_MS_MIN = 1_000;
const HISTORY_RETRY_MS_MAX = 30_000;
const TOO_MUCH = 422;
const COARSENING_MAX = 4;

export class HostHistory {
  // metrics: what is asked for. onNews(): an answer or a failure has come.
  constructor(metrics, onNews) {
    this.metrics = metrics;
    this.onNews = onNews;
    this.worker = null;
    this.questions = 0;
    this.timer = null;
    this.open(null);
  }

  open(host) {
    this.host = host;
    this.cache = new HistoryCache();
    this.flight = null;
    this.next = null;
    this.askedMs = -Infinity;
    this.error = null;
    this.failures = 0;
    this.retryAtMs = -Infinity;
    // Of stretches as long as one that was too much, so many steps coarser.
    this.refusedMs = Infinity;
    this.coarsening = 0;
    clearTimeout(this.timer);
    this.worker?.postMessage({});
  }

  // What was true before the server was another one may not be true now.
  forget() {
    for (const answer of this.cache.answers) answer.askedMs = -Infinity;
  }

  stepFor(spanMs, widthPx) {
    return stepFor(spanMs, widthPx, spanMs >= this.refusedMs ? this.coarsening : 0);
  }

  // Says what is to be seen in points of `stepMs`: stretches { fromMs, toMs }, the most urgent first.
  need(stretches, stepMs, serverNowMs) {
    const nowMs = monotonicMs();
    const sinceMs = nowMs - ANSWER_GOOD_FOR_MS;
    let missing = null;
    for (const { fromMs, toMs } of stretches) missing ??= this.cache.missing(fromMs, toMs, stepMs, sinceMs);
    const { flight } = this;
    const isOnItsWay = missing && flight?.stepMs === stepMs && flight.fromMs <= missing.fromMs && flight.tilesToMs >= missing.toMs;
    if (missing === null || isOnItsWay) this.next = null;
    else this.plan({ ...tilesAround(missing, stepMs), stepMs, serverNowMs, plannedMs: nowMs }, nowMs);
  }

  plan(next, nowMs) {
    const isSame = this.next?.fromMs === next.fromMs && this.next.toMs === next.toMs && this.next.stepMs === next.stepMs;
    if (isSame) return;
    this.next = next;
    clearTimeout(this.timer);
    const calmMs = this.flight === null && nowMs - this.askedMs > CALM_MS ? 0 : SETTLE_MS;
    this.timer = setTimeout(() => this.ask(), Math.max(calmMs, this.retryAtMs - nowMs));
  }

  ask() {
    const { next } = this;
    this.next = null;
    if (next === null || this.host === null) return;
    this.askedMs = monotonicMs();
    const nowMs = Math.floor(next.serverNowMs + this.askedMs - next.plannedMs);
    const toMs = Math.min(next.toMs, nowMs);
    if (toMs <= next.fromMs) return;
    this.questions += 1;
    this.flight = { id: this.questions, fromMs: next.fromMs, toMs, tilesToMs: next.toMs, stepMs: next.stepMs, askedMs: this.askedMs };
    // Whole points, though the last of them is not over yet: else none would be as wide as wanted.
    const endMs = ceilTo(toMs, next.stepMs);
    const points = (endMs - next.fromMs) / next.stepMs;
    this.post({ id: this.questions, host: this.host, address: queryAddress(this.host, this.metrics, { fromMs: next.fromMs, toMs: endMs, points }) });
  }

  post(question) {
    if (this.worker === null) {
      this.worker = new Worker('/static/history_worker.js', { type: 'module' });
      this.worker.onmessage = ({ data }) => this.hear(data);
      this.worker.onerror = () => this.hear({ id: this.flight?.id, words: 'the page could not start its reader of history', status: null });
    }
    this.worker.postMessage(question);
  }

  hear({ id, packed, words, status }) {
    if (this.flight === null || id !== this.flight.id) return;
    const { flight } = this;
    this.flight = null;
    if (packed) {
      this.cache.add(new HistoryAnswer(flight, packed));
      this.error = null;
      this.failures = 0;
      this.retryAtMs = -Infinity;
    } else {
      this.fail(words, status, (flight.toMs - flight.fromMs) / 2);
    }
    this.onNews();
  }

  // A server to which it was too much is asked for coarser points.
  fail(words, status, refusedMs) {
    if (status === TOO_MUCH && this.coarsening < COARSENING_MAX) {
      this.coarsening += 1;
      this.refusedMs = Math.min(this.refusedMs, refusedMs);
      return;
    }
    const pauseMs = Math.min(HISTORY_RETRY_MS_MAX, HISTORY_RETRY_MS_MIN * 2 ** this.failures);
    this.failures += 1;
    this.retryAtMs = monotonicMs() + pauseMs * (0.75 + Math.random() / 4);
    this.error = words;
  }

  isAsking() {
    return this.flight !== null || this.next !== null;
  }
}
