// What the page shows is in its address: `#/` or `#/host/NAME`, then `?filter=..`, and of a host the time: `window=5` or
// `window=24h` for live, `from=..&to=..` (Unix ms or RFC 3339) for the past. `?host=NAME` before the hash is understood
// too, so that other tools can link to a host without knowing the hash.
import { addressOfSpan, spanOfAddress, timeOfAddress } from './time_text.js';

export function readRoute() {
  const [path, hashQuery = ''] = location.hash.replace(/^#/, '').split('?');
  const inHash = new URLSearchParams(hashQuery);
  const before = new URLSearchParams(location.search);
  const match = /^\/host\/(.+)$/.exec(path);
  const host = match ? decodeURIComponent(match[1]) : location.hash === '' ? before.get('host') : null;
  const given = (name) => inHash.get(name) ?? (location.hash === '' ? before.get(name) : null);
  const [fromMs, toMs] = [timeOfAddress(given('from')), timeOfAddress(given('to'))];
  const isPast = fromMs !== null && toMs !== null && fromMs < toMs;
  return {
    host,
    filter: given('filter') ?? '',
    spanMs: isPast ? toMs - fromMs : spanOfAddress(given('window') ?? before.get('window')),
    toMs: isPast ? toMs : null,
  };
}

export function routeHash(route) {
  const query = new URLSearchParams();
  if (route.filter) query.set('filter', route.filter);
  if (route.toMs !== null) {
    query.set('from', route.toMs - route.spanMs);
    query.set('to', route.toMs);
  } else if (route.spanMs !== null) {
    query.set('window', addressOfSpan(route.spanMs));
  }
  const tail = query.size > 0 ? `?${query}` : '';
  return route.host === null ? `#/${tail}` : `#/host/${encodeURIComponent(route.host)}${tail}`;
}

// Opening a host is a step one can go back from; typing in the filter is not.
export function goTo(route, isStep) {
  const hash = routeHash(route);
  if (hash === location.hash) return;
  if (isStep) location.hash = hash;
  else history.replaceState(null, '', hash);
}

// Writes down where one is already.
export function noteInAddress(route, isStep) {
  const hash = routeHash(route);
  if (hash === location.hash) return;
  if (isStep) history.pushState(null, '', hash);
  else history.replaceState(null, '', hash);
}
