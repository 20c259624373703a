// Answers that are here already. A view is put together from the best of them: what was asked just so first, then what is
// finer, then what is coarser, so that something true is on the screen before the right answer is.

// At 20 bytes a point 40 MB: some forty views of a host with fifty series.
const POINTS_KEPT_MAX = 2_000_000;
// Much finer than wanted, a stretch would be nothing but a smear of thousands of points.
const FINER_MAX = 60;

// One answer: `packed` (see history_answer.js) over [fromMs, toMs), asked for in points of `stepMs`.
export class HistoryAnswer {
  constructor({ fromMs, toMs, stepMs, askedMs }, packed) {
    Object.assign(this, { fromMs, toMs, stepMs, askedMs }, packed);
    this.series = new Map(packed.series.map((entry) => [entry.key, entry]));
    this.isPoint = false;
  }

  widthAt() {
    return this.intervalMs;
  }

  keys() {
    return this.series.keys();
  }

  get(key) {
    return this.series.get(key);
  }
}

export class HistoryCache {
  constructor() {
    // The one used last stands last.
    this.answers = [];
    this.version = 0;
  }

  add(answer) {
    const isReplaced = (old) => old.stepMs === answer.stepMs && old.fromMs >= answer.fromMs && old.toMs <= answer.toMs;
    this.answers = this.answers.filter((old) => !isReplaced(old));
    this.answers.push(answer);
    let points = this.answers.reduce((sum, kept) => sum + kept.pointCount, 0);
    while (points > POINTS_KEPT_MAX && this.answers.length > 1) points -= this.answers.shift().pointCount;
    this.version += 1;
  }

  // From the first to the last moment that no answer of this width covers which was asked for after `sinceMs`; null when
  // there is none.
  missing(fromMs, toMs, stepMs, sinceMs) {
    if (toMs <= fromMs) return null;
    let open = [{ fromMs, toMs }];
    for (const answer of this.answers) {
      if (answer.stepMs === stepMs && answer.askedMs >= sinceMs) open = open.flatMap((stretch) => without(stretch, answer));
    }
    return open.length === 0 ? null : { fromMs: open[0].fromMs, toMs: open.at(-1).toMs };
  }

  // The stretches of a view, in order and without overlap, each with the answer that shows it best.
  pieces(fromMs, toMs, stepMs) {
    const chosen = [];
    let open = [{ fromMs, toMs }];
    for (const answer of this.ranked(stepMs)) {
      for (const stretch of open) {
        const piece = { fromMs: Math.max(stretch.fromMs, answer.fromMs), toMs: Math.min(stretch.toMs, answer.toMs), answer };
        if (piece.fromMs >= piece.toMs) continue;
        chosen.push(piece);
        this.touch(answer);
      }
      open = open.flatMap((stretch) => without(stretch, answer));
      if (open.length === 0) break;
    }
    return chosen.sort((a, b) => a.fromMs - b.fromMs);
  }

  // The newest answer of this width that knows a moment.
  at(timeMs, stepMs) {
    const known = this.answers.filter((answer) => answer.stepMs === stepMs && answer.fromMs <= timeMs && answer.toMs > timeMs);
    return known.sort((a, b) => b.askedMs - a.askedMs)[0] ?? null;
  }

  ranked(stepMs) {
    const rankOf = ({ stepMs: has }) => (has === stepMs ? 0 : has < stepMs ? stepMs / has : FINER_MAX * (has / stepMs));
    return this.answers
      .filter((answer) => answer.stepMs * FINER_MAX > stepMs)
      .sort((a, b) => rankOf(a) - rankOf(b) || b.askedMs - a.askedMs);
  }

  touch(answer) {
    const at = this.answers.indexOf(answer);
    if (at < this.answers.length - 1) this.answers.push(...this.answers.splice(at, 1));
  }
}

function without(stretch, taken) {
  if (taken.toMs <= stretch.fromMs || taken.fromMs >= stretch.toMs) return [stretch];
  const rest = [];
  if (taken.fromMs > stretch.fromMs) rest.push({ fromMs: stretch.fromMs, toMs: taken.fromMs });
  if (taken.toMs < stretch.toMs) rest.push({ fromMs: taken.toMs, toMs: stretch.toMs });
  return rest;
}
