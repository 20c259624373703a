// Which hosts need a human, since when, and in what words. Until the server has alert rules of its own these few limits
// hold, and they say their number wherever they speak.
import { COLUMN, silentAfterMs } from './store.js';
import { durationText, significant3 } from './format.js';

// How servers begin the reason of a session whose client took its leave: everything delivered, or the rest in its spool.
const GOODBYES = ['bye', 'its client ended'];

export const LEVELS = ['critical', 'warning', 'ended', 'ok'];

// A value must stay above its limit for `holdMs`, and is well again only below `clear`.
const LIMITS = [
  { kind: 'memory', level: 'critical', column: COLUMN.memoryPercent, limit: 97, clear: 95, holdMs: 0, name: 'memory' },
  { kind: 'memory', level: 'warning', column: COLUMN.memoryPercent, limit: 90, clear: 88, holdMs: 0, name: 'memory' },
  { kind: 'cpu', level: 'warning', column: COLUMN.cpu, limit: 95, clear: 90, holdMs: 30_000, name: 'CPU' },
];

// Silence is judged at the time of the last event from the server: while the server itself is silent, nothing is known
// about its hosts.
export function assess(host, lastEventMs) {
  const silentMs = lastEventMs - host.arrivedMs;
  // Without a goodbye a stream ends because its client, its machine or the network broke: soon that is silence.
  if (host.serverState === 'ended' && GOODBYES.some((words) => (host.reason ?? '').startsWith(words))) {
    return { level: 'ended', kind: 'ended', text: `ended: ${host.reason}`, sinceMs: host.arrivedMs };
  }
  if (host.serverState === 'stale' || silentMs > silentAfterMs(host.intervalMs)) {
    return { level: 'critical', kind: 'silent', text: host.reason ? `silent: ${host.reason}` : 'silent', sinceMs: host.arrivedMs };
  }
  for (const rule of LIMITS) {
    const sinceMs = overSince(host, rule, lastEventMs);
    if (sinceMs === null || lastEventMs - sinceMs < rule.holdMs) continue;
    const value = significant3(host.values[rule.column]);
    return { level: rule.level, kind: rule.kind, text: `${rule.name} ${value} % ≥ ${rule.limit} %`, sinceMs, isAtLeast: sinceMs <= host.firstSeenMs };
  }
  if (host.reason) return { level: 'warning', kind: 'note', text: host.reason, sinceMs: host.arrivedMs };
  return { level: 'ok', kind: null, text: '', sinceMs: 0 };
}

function overSince(host, rule, nowMs) {
  const key = `${rule.kind} ${rule.level}`;
  const value = host.values[rule.column];
  const since = host.over[key] ?? null;
  if (value >= rule.limit) host.over[key] = since ?? nowMs;
  else if (!(value >= rule.clear)) host.over[key] = null;
  return host.over[key] ?? null;
}

// All hosts judged: counts for the strip, and what needs attention, worst first and then longest.
export function judge(hosts, lastEventMs) {
  const counts = { total: 0, up: 0, critical: 0, warning: 0, ended: 0, ok: 0 };
  const issues = [];
  for (const host of hosts.values()) {
    host.firstSeenMs ??= lastEventMs;
    host.health = assess(host, lastEventMs);
    counts.total += 1;
    counts[host.health.level] += 1;
    if (host.health.kind !== 'silent' && host.health.kind !== 'ended') counts.up += 1;
    if (host.health.level === 'critical' || host.health.level === 'warning') issues.push(host);
  }
  issues.sort((a, b) => severity(a) - severity(b) || a.health.sinceMs - b.health.sinceMs || (a.name < b.name ? -1 : 1));
  return { counts, issues };
}

// What was so already when the page first looked may have been so for longer.
export function sinceText(host, nowMs) {
  return `${host.health.isAtLeast ? '≥ ' : ''}${durationText(nowMs - host.health.sinceMs)}`;
}

export function severity(host) {
  return LEVELS.indexOf(host.health.level);
}

export function issueText(host, nowMs) {
  return `${host.health.text} for ${sinceText(host, nowMs)}`;
}
