// This tab's end of the live stream: says what it wants, gives back events, and knows how the link is. The stream itself
// is in the shared worker (stream_worker.js), or here where a browser has no shared worker.
import { Connection, liveQuery, LATE_MS, STALE_MS } from './connection.js';
import { monotonicMs } from './clock.js';

const KEEP_EVERY_MS = 5_000;
const WORKER_SILENT_MS = 12_000;

export class Stream {
  constructor(version, onEvent) {
    this.onEvent = onEvent;
    this.want = { summary: true, hosts: [] };
    this.link = { state: 'connecting', reason: null, connects: 0 };
    this.lastEventMs = null;
    this.sinceMs = monotonicMs();
    this.lastReconnectUnixMs = null;
    this.isAsleep = document.hidden;
    this.worker = null;
    this.direct = null;
    this.openWorker(version);
    document.addEventListener('visibilitychange', () => (document.hidden ? this.sleep() : this.wake()));
    addEventListener('pagehide', () => this.sleep());
    addEventListener('pageshow', (event) => event.persisted && this.wake());
    setInterval(() => this.keep(), KEEP_EVERY_MS);
  }

  subscribe(hosts) {
    const isSame = hosts.join('\n') === this.want.hosts.join('\n') && this.hasAsked;
    this.want = { summary: true, hosts };
    this.hasAsked = true;
    if (!isSame && !this.isAsleep) this.ask();
  }

  openWorker(version) {
    this.heardWorkerMs = monotonicMs();
    if (typeof SharedWorker === 'undefined') return;
    try {
      // The name holds the version: after an upgrade a new page must not talk to the worker of an old one.
      this.worker = new SharedWorker('/static/stream_worker.js', { type: 'module', name: `stream ${version}` });
    } catch {
      return;
    }
    this.worker.onerror = () => this.goDirect();
    this.worker.port.onmessage = (message) => this.hearWorker(message.data);
  }

  hearWorker(message) {
    this.heardWorkerMs = monotonicMs();
    if (this.direct !== null || this.isAsleep) return;
    if (message.type === 'event') this.heard(message.name, message.text);
    if (message.type === 'link') this.hearLink(message.link);
  }

  heard(name, text) {
    const arrivedMs = monotonicMs();
    this.lastEventMs = arrivedMs;
    // Only a fresh event clears "disconnected", never an attempt.
    this.link = { ...this.link, state: 'open', reason: null };
    this.onEvent(name, JSON.parse(text), arrivedMs);
  }

  hearLink(link) {
    if (link.state === 'open' && this.link.state === 'lost') this.lastReconnectUnixMs = Date.now();
    this.link = { ...link, state: link.state === 'open' ? this.link.state : link.state };
    this.onEvent('link', null, monotonicMs());
  }

  ask() {
    if (this.direct !== null || this.worker === null) return this.goDirect();
    this.worker.port.postMessage({ type: 'want', want: this.want });
  }

  keep() {
    if (this.isAsleep || this.worker === null || this.direct !== null) return;
    this.worker.port.postMessage({ type: 'keep' });
    if (monotonicMs() - this.heardWorkerMs > WORKER_SILENT_MS) this.goDirect();
  }

  goDirect() {
    this.direct ??= new Connection((name, text) => this.heard(name, text), (link) => this.hearLink(link));
    if (!this.isAsleep) this.direct.subscribe(liveQuery(this.want.summary, this.want.hosts));
  }

  // A hidden tab lets go of its part of the stream and back-fills through a new snapshot when it returns.
  sleep() {
    if (this.isAsleep) return;
    this.isAsleep = true;
    if (this.direct !== null) this.direct.stop();
    else this.worker?.port.postMessage({ type: 'leave' });
    this.onEvent('sleep', null, monotonicMs());
  }

  wake() {
    if (!this.isAsleep) return;
    this.isAsleep = false;
    this.sinceMs = monotonicMs();
    this.heardWorkerMs = this.sinceMs;
    this.link = { ...this.link, state: 'connecting', reason: null };
    this.ask();
    this.onEvent('wake', null, this.sinceMs);
  }

  // What the page says about its connection: asleep, connecting, live, late, stale or lost, with the age of the last event.
  status(nowMs) {
    const silentMs = nowMs - (this.lastEventMs === null ? this.sinceMs : this.lastEventMs);
    const { state, reason } = this.link;
    if (this.isAsleep) return { state: 'asleep', silentMs, reason };
    if (state === 'lost') return { state: 'lost', silentMs, reason };
    // Just started or just woken: old values are not yet a sign of trouble.
    const waitedMs = nowMs - this.sinceMs;
    if (state === 'connecting') return { state: waitedMs > LATE_MS ? 'lost' : 'connecting', silentMs, reason: reason ?? 'the server does not answer' };
    if (silentMs > STALE_MS) return { state: 'stale', silentMs, reason: reason ?? 'the server went silent' };
    return { state: silentMs > LATE_MS ? 'late' : 'live', silentMs, reason };
  }
}
