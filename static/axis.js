// The upper end of a value axis. Percent is always 0-100; everything else starts at 0 and ends on 1, 2 or 5 (bytes: on a
// power of two), grows at once and shrinks only after half a minute, and never zooms into flat noise.

const SHRINK_AFTER_MS = 30_000;
// After a zoom or a pan, once the hand rests.
const SHRINK_MOVED_AFTER_MS = 400;

export class AxisEnd {
  constructor(unit, floor) {
    this.isBinary = unit.startsWith('bytes');
    this.floor = floor;
    this.end = this.snap(floor);
    this.smallerSinceMs = null;
  }

  // `isMoved`: other times are seen than before, so the old end means nothing.
  update(highest, nowMs, isMoved) {
    const wanted = this.snap(Math.max(highest, this.floor));
    if (wanted >= this.end) {
      this.end = wanted;
      this.smallerSinceMs = null;
    } else {
      this.smallerSinceMs ??= nowMs;
      if (nowMs - this.smallerSinceMs > (isMoved ? SHRINK_MOVED_AFTER_MS : SHRINK_AFTER_MS)) {
        this.end = wanted;
        this.smallerSinceMs = null;
      }
    }
    return this.end;
  }

  snap(value) {
    if (this.isBinary) return 2 ** Math.ceil(Math.log2(value));
    const decade = 10 ** Math.floor(Math.log10(value));
    for (const step of [1, 2, 5, 10]) if (value <= step * decade * 1.0001) return step * decade;
    return 10 * decade;
  }
}

// Four equal parts: with ends on 1, 2 and 5 or powers of two every line is a round number.
export function splitsUpTo(end) {
  return [0, end / 4, end / 2, (end * 3) / 4, end];
}
