// One live connection to the server: an EventSource with a watchdog. Runs inside the shared worker, or in the page where
// there is no shared worker. A hung server raises no error at all, so silence is measured by the monotonic clock.

export const LATE_MS = 2_500;
// A little under five seconds, so that the words are on the screen by then.
export const STALE_MS = 4_800;
const WATCH_EVERY_MS = 250;
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 3_000;
const EVENT_NAMES = ['snapshot', 'frames', 'heartbeat'];

export function liveQuery(wantsSummary, hosts) {
  const parts = hosts.map((host) => `host=${encodeURIComponent(host)}`);
  if (wantsSummary) parts.unshift('summary=1');
  return parts.join('&');
}

export class Connection {
  // onEvent(name, text): an event as it came. onLink(link): how the connection is, in words the page can show.
  constructor(onEvent, onLink) {
    this.onEvent = onEvent;
    this.onLink = onLink;
    this.query = null;
    this.current = null;
    this.next = null;
    this.lastEventMs = 0;
    this.failures = 0;
    this.connects = 0;
    this.retryTimer = null;
    this.watchTimer = null;
  }

  // Asks for other data. The old stream goes on until the new one has sent its snapshot, so nothing flickers.
  subscribe(query) {
    if (query === null) return this.stop();
    this.query = query;
    if (this.watchTimer === null) this.watchTimer = setInterval(() => this.watch(), WATCH_EVERY_MS);
    this.open();
  }

  stop() {
    this.query = null;
    clearInterval(this.watchTimer);
    clearTimeout(this.retryTimer);
    this.watchTimer = null;
    this.retryTimer = null;
    this.next = closed(this.next);
    this.current = closed(this.current);
  }

  open() {
    clearTimeout(this.retryTimer);
    this.retryTimer = null;
    this.next = closed(this.next);
    const source = new EventSource(`/api/live?${this.query}`);
    this.next = { source, openedMs: performance.now() };
    for (const name of EVENT_NAMES) {
      source.addEventListener(name, (event) => this.heard(source, name, event.data));
    }
    source.onerror = () => this.failed(source, 'the server closed the connection');
  }

  heard(source, name, text) {
    this.lastEventMs = performance.now();
    if (this.next?.source === source) {
      this.current = closed(this.current);
      this.current = this.next;
      this.next = null;
      this.failures = 0;
      this.connects += 1;
      this.onLink({ state: 'open', reason: null, connects: this.connects });
    }
    if (this.current?.source === source) this.onEvent(name, text);
  }

  failed(source, reason) {
    if (this.next?.source === source) {
      this.next = closed(this.next);
    } else if (this.current?.source === source) {
      this.current = closed(this.current);
    } else {
      return;
    }
    // While another stream still brings data, losing this one is not yet a loss to the viewer.
    this.retryLater(reason, this.current === null);
  }

  retryLater(reason, isLost) {
    if (this.retryTimer !== null || this.query === null) return;
    const ceilingMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** this.failures);
    const delayMs = ceilingMs * (0.5 + Math.random() / 2);
    this.failures += 1;
    this.retryTimer = setTimeout(() => this.open(), delayMs);
    if (isLost) this.onLink({ state: 'lost', reason, retryInMs: delayMs, connects: this.connects });
  }

  watch() {
    const nowMs = performance.now();
    if (this.next && nowMs - this.next.openedMs > STALE_MS) {
      this.failed(this.next.source, 'the server does not answer');
    }
    if (this.current && nowMs - this.lastEventMs > STALE_MS) {
      this.failed(this.current.source, 'the server went silent');
    }
  }
}

function closed(stream) {
  stream?.source.close();
  return null;
}
