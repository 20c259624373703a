// Decides what the charts of a host draw: its live window as it is, or, where a view reaches beyond it, a picture put
// together from history and the live window. History ends where the live window begins: one line, no seam.
import { CHARTED_METRICS } from './host_charts.js';
import { HostHistory } from './history.js';
import { ceilTo, floorTo } from './history_plan.js';
import { GAP_INTERVALS, WINDOW_MS_MAX } from './host_window.js';
import { LiveFold, NativeRows, Picture } from './picture.js';
import { spanText } from './time_text.js';

// Put together this much wider than a view, so that panning a little needs nothing new.
const MARGIN_SPANS = 0.5;
// Without a live window nothing follows the newest answer; asked for again when it is this old.
const TAIL_MS = 30_000;

export class HostPicture {
  constructor(onNews) {
    this.history = new HostHistory(CHARTED_METRICS, onNews);
    this.open(null);
  }

  open(name) {
    this.history.open(name);
    this.picture = null;
    this.builtOf = null;
    this.run = null;
  }

  // `range`: what is seen (time_range.js); returns what the charts draw, with words about it.
  of(window, range, view, widthPx) {
    const { history, run } = view.server;
    if (run !== this.run) this.history.forget();
    this.run = run;
    const isKept = history !== null && history !== undefined && history.state !== 'off';
    const liveFromMs = window.timesMs[0] ?? Infinity;
    if (!isKept || range.fromMs >= liveFromMs - GAP_INTERVALS * window.lastIntervalMs) {
      return { shown: window, note: '', stepMs: 0, unkept: isKept ? null : unkeptOf(range, liveFromMs, history) };
    }
    const plan = this.history.stepFor(range.spanMs, widthPx);
    const edge = this.edgeOf(liveFromMs, plan, view.serverNowMs);
    this.ask(range, plan.stepMs, edge.askToMs, view.serverNowMs);
    this.assemble(window, range, plan, edge);
    this.picture.setView(range.fromMs, range.toMs);
    return { shown: this.picture, note: this.words(range, plan, view.nowMs), stepMs: plan.stepMs, unkept: null };
  }

  // Where history ends and the live window begins: with the first whole point of the live window. A point that is wider
  // than that began before it; what history said of it (`seed`) is carried on frame by frame.
  edgeOf(liveFromMs, { stepMs, isFine }, serverNowMs) {
    if (isFine || liveFromMs === Infinity) return { atMs: liveFromMs, framesFromMs: liveFromMs, askToMs: liveFromMs, seed: null };
    const atMs = ceilTo(liveFromMs, stepMs);
    if (atMs <= serverNowMs) return { atMs, framesFromMs: atMs, askToMs: atMs, seed: null };
    const seed = this.history.cache.at(liveFromMs, stepMs);
    return { atMs: floorTo(liveFromMs, stepMs), framesFromMs: seed?.toMs ?? liveFromMs, askToMs: liveFromMs, seed };
  }

  ask({ fromMs, toMs, spanMs, isLive, isMoving }, stepMs, edgeMs, serverNowMs) {
    const endMs = Math.min(edgeMs, serverNowMs - TAIL_MS);
    const stretches = [{ fromMs, toMs: Math.min(toMs, endMs) }];
    const marginMs = spanMs * MARGIN_SPANS;
    if (!isLive && !isMoving) stretches.push({ fromMs: fromMs - marginMs, toMs: Math.min(toMs + marginMs, endMs) });
    this.history.need(stretches, stepMs, serverNowMs);
  }

  // Put together anew only where an answer, a frame or another width of points has changed it, or the view has left it.
  assemble(window, range, { stepMs, isFine }, edge) {
    const { cache } = this.history;
    const edgeMs = edge.atMs;
    const marginMs = range.spanMs * MARGIN_SPANS;
    const hasLive = range.toMs + marginMs > edgeMs;
    const builtOf = [cache.version, stepMs, isFine, hasLive ? `${window.lastTimeMs} ${edgeMs} ${edge.framesFromMs}` : ''].join(' ');
    const isInside = this.picture !== null && range.fromMs >= this.builtFromMs && range.toMs <= this.builtToMs;
    if (isInside && builtOf === this.builtOf && this.builtWindow === window) return;
    Object.assign(this, { builtOf, builtWindow: window, builtFromMs: range.fromMs - marginMs, builtToMs: range.toMs + marginMs });
    const pieces = cache.pieces(this.builtFromMs, Math.min(this.builtToMs, edgeMs), stepMs);
    const startsMs = pieces.flatMap((piece) => piece.answer.sessionStartsMs.filter((startMs) => startMs >= piece.fromMs && startMs < piece.toMs));
    if (hasLive) {
      const live = isFine ? new NativeRows(window, edgeMs) : new LiveFold(window, edge.framesFromMs, stepMs, edge.seed);
      pieces.push({ fromMs: edgeMs, toMs: Infinity, answer: live });
      startsMs.push(...window.sessionStartsMs.filter((startMs) => startMs >= edgeMs));
    }
    this.picture = new Picture(pieces, startsMs);
  }

  // In the note of every chart: how wide a point is, what is still coming, or why nothing comes.
  words({ fromMs, toMs }, { stepMs }, nowMs) {
    const { history, picture } = this;
    const pointMs = picture.pointMs(fromMs, toMs);
    const width = pointMs === null || pointMs === 0 ? '' : `${spanText(pointMs)} per point`;
    if (history.error !== null) {
      const waitMs = Math.max(0, history.retryAtMs - nowMs);
      return `history: ${history.error}; trying again ${waitMs < 500 ? 'now' : `in ${Math.ceil(waitMs / 1000)} s`}`;
    }
    const isWhole = picture.covers(fromMs, Math.min(toMs, picture.knownToMs)) && picture.pieces.length > 0;
    if (history.isAsking() && !isWhole) return width === '' ? 'reading history' : `${width}, reading on`;
    return history.isAsking() && pointMs > stepMs ? `${width}, finer on its way` : width;
  }
}

// What lies before the live window of a server that keeps nothing.
function unkeptOf({ fromMs }, liveFromMs, history) {
  if (history?.state !== 'off' || fromMs >= liveFromMs || liveFromMs === Infinity) return null;
  return { toMs: liveFromMs, cause: `only ${spanText(WINDOW_MS_MAX)} are kept without --data` };
}
