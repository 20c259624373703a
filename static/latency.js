// Quantiles of a latency over the last minute: a logarithmic histogram per five seconds, twelve of them in a ring, so
// that adding a value costs one increment and nothing is sorted.

const SLOTS = 12;
const SLOT_MS_OF_LATENCY = 5_000;
const BUCKETS = 160;
const SMALLEST_MS = 0.01;
const GROWTH = 1.1;

export class LatencyWindow {
  constructor() {
    this.slots = Array.from({ length: SLOTS }, () => ({ number: -1, counts: new Uint32Array(BUCKETS), maxMs: 0 }));
  }

  add(latencyMs, nowMs) {
    const number = Math.floor(nowMs / SLOT_MS_OF_LATENCY);
    const slot = this.slots[number % SLOTS];
    if (slot.number !== number) {
      slot.number = number;
      slot.counts.fill(0);
      slot.maxMs = 0;
    }
    const positiveMs = Math.max(latencyMs, SMALLEST_MS);
    const bucket = Math.min(BUCKETS - 1, Math.floor(Math.log(positiveMs / SMALLEST_MS) / Math.log(GROWTH)));
    slot.counts[bucket] += 1;
    if (latencyMs > slot.maxMs) slot.maxMs = latencyMs;
  }

  // null when nothing was measured in the last minute.
  quantiles(nowMs) {
    const oldest = Math.floor(nowMs / SLOT_MS_OF_LATENCY) - SLOTS;
    const sum = new Uint32Array(BUCKETS);
    let count = 0;
    let maxMs = 0;
    for (const slot of this.slots) {
      if (slot.number <= oldest) continue;
      if (slot.maxMs > maxMs) maxMs = slot.maxMs;
      for (let i = 0; i < BUCKETS; i++) {
        sum[i] += slot.counts[i];
        count += slot.counts[i];
      }
    }
    if (count === 0) return null;
    return { p50_ms: quantile(sum, count * 0.5), p99_ms: quantile(sum, count * 0.99), max_ms: maxMs, count };
  }
}

function quantile(counts, rank) {
  let seen = 0;
  for (let i = 0; i < BUCKETS; i++) {
    seen += counts[i];
    if (seen >= rank) return SMALLEST_MS * GROWTH ** (i + 0.5);
  }
  return SMALLEST_MS * GROWTH ** BUCKETS;
}
