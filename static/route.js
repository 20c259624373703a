// What the page shows is in its address: `#/` or `#/host/NAME`, then `?filter=..&window=5`. `?host=NAME` before the hash
// is understood too, so that other tools can link to a host without knowing the hash. Without a chosen window the page
// takes the shortest that holds all there is.

export const WINDOW_MINUTES = [1, 5, 15];

export function readRoute() {
  const [path, hashQuery = ''] = location.hash.replace(/^#/, '').split('?');
  const inHash = new URLSearchParams(hashQuery);
  const before = new URLSearchParams(location.search);
  const match = /^\/host\/(.+)$/.exec(path);
  const host = match ? decodeURIComponent(match[1]) : location.hash === '' ? before.get('host') : null;
  const minutes = Number(inHash.get('window') ?? before.get('window'));
  return {
    host,
    filter: inHash.get('filter') ?? (location.hash === '' ? before.get('filter') : null) ?? '',
    windowMinutes: WINDOW_MINUTES.includes(minutes) ? minutes : null,
  };
}

export function routeHash(route) {
  const query = new URLSearchParams();
  if (route.filter) query.set('filter', route.filter);
  if (route.windowMinutes !== null) query.set('window', route.windowMinutes);
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

// How many minutes the charts show: what was chosen, or the shortest window that holds what this host has.
export function shownMinutes(route, heldMs) {
  return route.windowMinutes ?? WINDOW_MINUTES.find((minutes) => heldMs < minutes * 60_000) ?? WINDOW_MINUTES.at(-1);
}
