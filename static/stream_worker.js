// The shared worker: one stream for all tabs of this browser. It asks the server for the union of what the visible tabs
// want and hands every event to each of them, unparsed. A browser opens six connections to a site; without this the
// seventh tab would not load.
import { Connection, liveQuery } from './connection.js';

const TAB_SILENT_MS = 15_000;
const SETTLE_MS = 30;

const tabs = new Map();
let settleTimer = null;
let lastLink = null;

const connection = new Connection(
  (name, text) => broadcast({ type: 'event', name, text }),
  (link) => {
    lastLink = link;
    broadcast({ type: 'link', link });
  },
);

self.onconnect = (event) => {
  const port = event.ports[0];
  port.onmessage = (message) => hear(port, message.data);
  port.start();
};

function hear(port, message) {
  if (message.type === 'keep') {
    const tab = tabs.get(port);
    if (tab) tab.heardMs = performance.now();
    port.postMessage({ type: 'alive' });
    return;
  }
  if (message.type === 'want') tabs.set(port, { ...message.want, heardMs: performance.now() });
  if (message.type === 'leave') tabs.delete(port);
  if (message.type === 'want' && lastLink !== null) port.postMessage({ type: 'link', link: lastLink });
  settleSoon(message.type === 'want');
}

// Tabs that open together make one subscription.
let isSnapshotWanted = false;
function settleSoon(needsSnapshot) {
  isSnapshotWanted ||= needsSnapshot;
  clearTimeout(settleTimer);
  settleTimer = setTimeout(settle, SETTLE_MS);
}

function settle() {
  const query = unionQuery();
  // A tab that left may leave the stream wider than needed for a moment; a tab that came needs a snapshot.
  if (query !== connection.query || isSnapshotWanted) connection.subscribe(query);
  if (query === null) lastLink = null;
  isSnapshotWanted = false;
}

function unionQuery() {
  if (tabs.size === 0) return null;
  const hosts = new Set();
  let wantsSummary = false;
  for (const tab of tabs.values()) {
    wantsSummary ||= tab.summary;
    for (const host of tab.hosts) hosts.add(host);
  }
  return liveQuery(wantsSummary, [...hosts].sort());
}

function broadcast(message) {
  for (const port of tabs.keys()) port.postMessage(message);
}

// A port does not say when its tab is gone.
setInterval(() => {
  const nowMs = performance.now();
  let hasGone = false;
  for (const [port, tab] of tabs) {
    if (nowMs - tab.heardMs < TAB_SILENT_MS) continue;
    tabs.delete(port);
    hasGone = true;
  }
  if (hasGone) settleSoon(false);
}, 5_000);
