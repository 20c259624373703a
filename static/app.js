// The page's start list: the snapshot in the page, the stream that updates it, and one painter that draws the view in one
// animation frame. The rooms, in the order data flows:
//
//   connection -> stream_worker -> stream -> store (host_window) -> health -> frame -> strip, readout,
//   fleet_view (host_order, fleet_grid, fleet_table, fleet_row, sparkline) or host_page (host_charts, chart, axis)
//
// and of the past: time_range (what is to be seen) -> host_picture -> history -> history_worker -> history_cache -> picture
//
// Modules import by `import { a, b } from './name.js';`, one import a line, and no two modules share a top-level name, so
// that a build may also join them into one file.
//
// Names that tests and other tools may hold on to:
//   body[data-link]             connecting | live | late | stale | lost | asleep
//   #strip-link-word, #strip-link-age, #strip-up-count, #strip-total, #strip-bad[data-level], #strip-worst
//   #notice-link, #notice-bus, #notice-history, #notice-insecure      each is in the page only while it holds
//   #fleet, #host               the views (one is hidden)
//   #attention .issue[data-level][data-host]
//   #heat-grid                  the canvas
//   #table-body .row[data-host][data-level][data-old?]   level: ok | warning | critical | ended | unknown
//     .cell[data-column=state|name|cpu|spark|memory|diskRead|diskWrite|networkReceive|networkTransmit|load|processes|uptime|age] .number
//   #host-name, #host-state[data-level], #host-facts, #host[data-old?]
//   #host-figures [data-figure=cpu|memory|disk-read|disk-write|network-in|network-out|load|processes] .number
//   #charts #chart-cpu, -load, -memory, -swap, -disk-busy, -disk-throughput, -disk-operations, -network, -network-packets,
//     -network-errors, -processes, -processes-waiting; in each: canvas, .chart-note, .legend [data-series] .legend-value, .peak-value
//   #readout-stages td[data-stage=sent|received|consumed|pushed|drawn|total|durable][data-quantile=p50|p99]
//   #readout-ledger[data-level=good|bad], #readout-drops, #readout-link[data-connects]
//   #range-bar[data-past?], #range-text, #range-hint, #csv, #copy-link, [data-window=1|5|15|1h|6h|24h|7d|30d|90d]
//   #filter, #theme-toggle, #help, #help-open, #pause-bar, #pause-age, #go-live, #sort-now, [data-grid-by]
//   performance marks `first-values` (values drawn) and `first-charts` (charts drawn)
import { monotonicMs, serverClock } from './clock.js';
import { byId } from './dom.js';
import { FleetView } from './fleet_view.js';
import { requestPaint, setPainter, whenDrawn } from './frame.js';
import { judge } from './health.js';
import { HostPage } from './host_page.js';
import { listenToKeys } from './keys.js';
import { LatencyWindow } from './latency.js';
import { palette } from './palette.js';
import { Readout } from './readout.js';
import { RangeBar, paintPause } from './range_bar.js';
import { goTo, noteInAddress, readRoute, routeHash } from './route.js';
import { Shell } from './shell.js';
import { store } from './store.js';
import { Stream } from './stream.js';
import { Strip } from './strip.js';
import { TimeRange } from './time_range.js';

const TICK_MS = 500;
const LINK_CHECK_MS = 100;
// Zooms and pans that follow each other are one step to go back from.
const NOTE_AFTER_MS = 300;
const ONE_STEP_MS = 1_500;
const PROBE_EVERY_MS = 60_000;
const PROBE_FIRST_MS = [2_000, 10_000, 30_000];

const drawnFromPushed = new LatencyWindow();
const drawnFromSampled = new LatencyWindow();

const embedded = JSON.parse(byId('snapshot').textContent);
if (embedded) store.takeSnapshot(embedded, monotonicMs());

const timeRange = new TimeRange(rangeMoved);
const openHost = (name) => goTo({ ...routeSeen(), host: name }, true);
const strip = new Strip();
const readout = new Readout();
const shell = new Shell();
const fleetView = new FleetView(openHost);
const rangeBar = new RangeBar(timeRange, (seen) => location.origin + location.pathname + routeHash({ ...route, ...seen }));
const hostPage = new HostPage(timeRange, rangeBar);

let route = readRoute();
let isWhole = true;
let isTick = true;
let judged = judge(store.hosts, monotonicMs());

const stream = new Stream(embedded?.version ?? 'unknown', hear);

function hear(name, event, arrivedMs) {
  if (name === 'snapshot') {
    store.takeSnapshot(event, arrivedMs);
    isWhole = true;
  }
  if (name === 'frames') {
    const sampledMs = store.takeFrames(event, arrivedMs);
    if (shell.pausedMs === null && sampledMs.length > 0) whenDrawn((drawnMs) => measure(event.pushed_ms, sampledMs, drawnMs));
  }
  if (name === 'heartbeat') store.takeHeartbeat(event, arrivedMs);
  if (name !== 'frames') isTick = true;
  requestPaint();
}

function measure(pushedMs, sampledMs, drawnMs) {
  const drawnAtServerMs = serverClock.atMs(drawnMs);
  drawnFromPushed.add(drawnAtServerMs - pushedMs, drawnMs);
  for (const timeMs of sampledMs) drawnFromSampled.add(drawnAtServerMs - timeMs, drawnMs);
}

// Everything a view needs to know at one instant.
function viewOfNow() {
  const nowMs = monotonicMs();
  const link = stream.status(nowMs);
  if (isTick || isWhole) {
    judged = judge(store.hosts, Math.min(nowMs, stream.lastEventMs ?? nowMs));
    latency = { total: drawnFromSampled.quantiles(nowMs), fromPushed: drawnFromPushed.quantiles(nowMs) };
  }
  return {
    nowMs, link, route, judged, isWhole, isTick,
    serverNowMs: serverClock.atMs(nowMs),
    range: timeRange.seen(serverClock.atMs(nowMs), heldMs()),
    hosts: store.hosts, windows: store.windows, sessions: store.sessions, server: store.server,
    changedHosts: store.changedHosts, isListChanged: store.isListChanged, hasData: store.hasSnapshot,
    isUnknown: link.state === 'lost' || link.state === 'stale',
    drawn: latency,
    clockOffsetMs: serverClock.wallOffsetMs(), clockUncertaintyMs: serverClock.uncertaintyMs,
    lastReconnectUnixMs: stream.lastReconnectUnixMs, connects: stream.link.connects,
  };
}

let latency = { total: null, fromPushed: null };

function paint() {
  const view = viewOfNow();
  const { nowMs } = view;
  strip.paint(view);
  if (isTick || isWhole) readout.paint(view);
  if (route.host === null) paintPause(shell.pausedMs === null ? null : nowMs - shell.pausedMs);
  else paintPause(timeRange.isPast() ? view.serverNowMs - view.range.toMs : null);
  if (shell.pausedMs === null) {
    fleetView.update(view);
    if (route.host === null) fleetView.paint(view);
    else hostPage.paint(view);
    store.changedHosts.clear();
    store.isListChanged = false;
    isWhole = false;
  }
  isTick = false;
  markFirst(view);
}

function markFirst(view) {
  if (view.hosts.size > 0 && !marks.has('first-values')) mark('first-values');
  if (route.host !== null && hostPage.charts.some((chart) => chart.plot) && !marks.has('first-charts')) mark('first-charts');
}

const marks = new Set();
function mark(name) {
  marks.add(name);
  whenDrawn(() => performance.mark(name));
}

function followRoute() {
  const before = route.host;
  route = readRoute();
  clearTimeout(noteTimer);
  timeRange.follow(route);
  if (before !== route.host) shell.goLive();
  byId('fleet').hidden = route.host !== null;
  byId('host').hidden = route.host === null;
  if (byId('filter').value !== route.filter) byId('filter').value = route.filter;
  if (route.host === null) hostPage.close();
  else hostPage.open(route.host);
  if (before !== route.host) scrollTo(0, 0);
  stream.subscribe(route.host === null ? [] : [route.host]);
  store.keepWindows(route.host === null ? [] : [route.host]);
  isWhole = true;
  requestPaint();
}

// Changes of the address that are not steps one goes back from are made and followed here.
function change(part) {
  goTo({ ...routeSeen(), ...part }, false);
  followRoute();
}

function moveBy(step) {
  if (route.host === null) return fleetView.moveMark(step);
  const next = fleetView.neighbour(route.host, step);
  if (next !== null) openHost(next);
}

function heldMs() {
  const window = store.windows.get(route.host);
  return window ? window.lastTimeMs - window.timesMs[0] : 0;
}

// The route with what a hand has done to the time since it was read.
function routeSeen() {
  return { ...route, spanMs: timeRange.spanMs, toMs: timeRange.toMs };
}

let noteTimer = null;
let notedMs = -Infinity;

// The picture follows at once, the address when the hand rests.
function rangeMoved(isNew) {
  requestPaint();
  if (!isNew) return;
  clearTimeout(noteTimer);
  noteTimer = setTimeout(noteRange, NOTE_AFTER_MS);
}

// Movements one after the other are one step to go back from; leaving the present or the past is one of its own.
function noteRange() {
  const wasPast = route.toMs !== null;
  route = routeSeen();
  noteInAddress(route, wasPast !== (route.toMs !== null) || monotonicMs() - notedMs > ONE_STEP_MS);
  notedMs = monotonicMs();
}

// Back to now: the fleet's picture, or the charts of a host.
function goLive() {
  if (route.host === null) shell.goLive();
  else if (timeRange.isPast()) timeRange.goLive();
}

// Esc leaves what was entered last: a stretch being marked, the past, the host, the filter.
function stepBack() {
  if (route.host === null) change({ filter: '' });
  else if (timeRange.held !== null) timeRange.release();
  else if (timeRange.isPast()) timeRange.goLive();
  else goTo({ ...routeSeen(), host: null }, true);
}

// One small request a minute tells how long the way from the server is, which no event can tell by itself.
async function probeClock() {
  if (document.hidden || stream.status(monotonicMs()).state !== 'live') return;
  try {
    const response = await fetch('/api/stages', { cache: 'no-store' });
    const { server_time_ms } = await response.json();
    // The browser's own record of the request: this thread may have been busy when the answer came.
    const timing = performance.getEntriesByName(response.url).pop();
    if (timing?.requestStart > 0) serverClock.probe(server_time_ms, timing.requestStart, timing.responseStart);
    performance.clearResourceTimings();
  } catch {
    // The stream's own watchdog says in words when the server is gone.
  }
}

setPainter(paint);
palette.onChange(() => {
  isWhole = true;
  requestPaint();
});
listenToKeys({
  move: moveBy,
  open: () => route.host === null && fleetView.openMarked(),
  back: stepBack,
  isHost: () => route.host !== null,
  time: timeRange,
  copyLink: () => rangeBar.copyLink(),
  pause: () => (route.host === null ? shell.togglePause(monotonicMs()) : timeRange.togglePause()),
  live: goLive,
  sort: () => fleetView.sortNow(),
  theme: () => shell.nextTheme(),
  help: () => shell.toggleHelp(),
  filter: (filter) => change({ filter }),
});
byId('filter').addEventListener('input', () => change({ filter: byId('filter').value }));
byId('go-live').addEventListener('click', goLive);
addEventListener('hashchange', followRoute);
setInterval(() => {
  isTick = true;
  if (!document.hidden) requestPaint();
}, TICK_MS);
// A change of the link is shown at once, not at the next tick.
setInterval(() => {
  if (stream.status(monotonicMs()).state === document.body.dataset.link) return;
  isTick = true;
  requestPaint();
}, LINK_CHECK_MS);
for (const delayMs of PROBE_FIRST_MS) setTimeout(probeClock, delayMs);
setInterval(probeClock, PROBE_EVERY_MS);
followRoute();
