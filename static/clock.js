// Two clocks. The monotonic clock measures (how long since the last event); the server's clock labels (what time a
// sample was taken). The wall clock of this machine is used for neither: it may be wrong by minutes.

const ESTIMATE_WINDOW_MS = 60_000;
const SLOT_MS = 5_000;
const PROBE_GOOD_FOR_MS = 10 * 60_000;

export function monotonicMs() {
  return performance.now();
}

// The server's clock, estimated from the times its events carry. Each event gives `server time - arrival`, which is the
// true offset minus the time the event was on its way; the largest of the last minute had the shortest way, so it is
// the best estimate. A round trip (see `probe`) corrects what even the fastest event was late by.
class ServerClock {
  constructor() {
    this.slots = [];
    this.offsetMs = null;
    this.transitMs = 0;
    this.uncertaintyMs = null;
    this.probedMs = -Infinity;
  }

  // Forget what was learned: the machine slept, or another server answers.
  reset() {
    this.slots = [];
    this.transitMs = 0;
    this.uncertaintyMs = null;
  }

  heard(serverTimeMs, arrivedMs) {
    const candidate = serverTimeMs - arrivedMs;
    const slotNumber = Math.floor(arrivedMs / SLOT_MS);
    const newest = this.slots[this.slots.length - 1];
    if (newest && newest.number === slotNumber) {
      newest.offsetMs = Math.max(newest.offsetMs, candidate);
    } else {
      this.slots.push({ number: slotNumber, offsetMs: candidate });
      const oldest = slotNumber - ESTIMATE_WINDOW_MS / SLOT_MS;
      while (this.slots[0].number < oldest) this.slots.shift();
    }
    let best = -Infinity;
    for (const slot of this.slots) best = Math.max(best, slot.offsetMs);
    this.offsetMs = best;
  }

  // One request and its answer: the server's time lies between sending and arrival.
  probe(serverTimeMs, sentMs, arrivedMs) {
    const roundTripMs = arrivedMs - sentMs;
    const isBetter = this.uncertaintyMs === null || roundTripMs / 2 <= this.uncertaintyMs;
    if (this.offsetMs === null || (!isBetter && arrivedMs - this.probedMs < PROBE_GOOD_FOR_MS)) return;
    this.probedMs = arrivedMs;
    const offsetMs = serverTimeMs - (sentMs + arrivedMs) / 2;
    this.uncertaintyMs = roundTripMs / 2;
    this.transitMs = Math.max(0, Math.min(offsetMs - this.offsetMs, roundTripMs));
  }

  atMs(monotonic) {
    const offsetMs = this.offsetMs === null ? Date.now() - performance.now() : this.offsetMs + this.transitMs;
    return monotonic + offsetMs;
  }

  nowMs() {
    return this.atMs(performance.now());
  }

  // How far this machine's wall clock is from the server's: shown, never used.
  wallOffsetMs() {
    return this.offsetMs === null ? null : this.nowMs() - Date.now();
  }
}

export const serverClock = new ServerClock();
