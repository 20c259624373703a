// What the page shows is in its address: `#/` or `#/host/NAME`, then `?filter=..&window=5`. `?host=NAME` before the hash
// is understood too, so that other tools can link to a host without knowing the hash.

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
    windowMinutes: WINDOW_MINUTES.includes(minutes) ? minutes : 15,
  };
}

export function routeHash(route) {
  const query = new URLSearchParams();
  if (route.filter) query.set('filter', route.filter);
  if (route.windowMinutes !== 15) query.set('window', route.windowMinutes);
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
