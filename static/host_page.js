// The page of one host: its state and newest figures, its charts over the stretch of time that is seen, its ledger, and
// whatever else it sends. uPlot is fetched when the first host is opened.
import { byId, make, makeIcon, setData, setIcon, setText } from './dom.js';
import { Chart } from './chart.js';
import { MISSING, Quantity, durationText, machineText, ownLabels, wholeText } from './format.js';
import { requestPaint, whenDrawn } from './frame.js';
import { FrameBudget } from './frame_budget.js';
import { issueText } from './health.js';
import { CHARTED_NAMES, HOST_CHARTS, newest } from './host_charts.js';
import { HostPicture } from './host_picture.js';
import { HostWindow } from './host_window.js';
import { ledgerParts } from './readout.js';
import { COLUMN, silentAfterMs } from './store.js';

// At high rates a chart is drawn at most this often: a pixel of a minute's window is longer than that.
const REDRAW_MS_MIN = 100;
const REDRAW_IDLE_MS = 1_000;
// So long after a zoom the ends of the value axes follow it.
const MOVED_FOR_MS = 5_000;
// A wheel or a key held down makes a step at least this often.
const MOVING_FOR_MS = 150;
// Building a chart takes some milliseconds; a few per frame keep the page answering.
const BUILDS_PER_FRAME = 3;
const FIGURES = [
  { id: 'cpu', title: 'CPU', column: COLUMN.cpu, unit: 'percent' },
  { id: 'memory', title: 'Memory', column: COLUMN.memoryPercent, unit: 'percent' },
  { id: 'disk-read', title: 'Disk read', column: COLUMN.diskRead, unit: 'bytes_per_second' },
  { id: 'disk-write', title: 'Disk write', column: COLUMN.diskWrite, unit: 'bytes_per_second' },
  { id: 'network-in', title: 'Network in', column: COLUMN.networkReceive, unit: 'bits_per_second', factor: 8 },
  { id: 'network-out', title: 'Network out', column: COLUMN.networkTransmit, unit: 'bits_per_second', factor: 8 },
  { id: 'load', title: 'Load, 1 min', column: COLUMN.load, unit: 'count' },
  { id: 'processes', title: 'Processes', column: COLUMN.processes, isWhole: true },
];
const STATE_WORDS = { ok: 'live', warning: 'live, warning', critical: 'critical', ended: 'ended', unknown: 'unknown' };

export class HostPage {
  constructor(timeRange, rangeBar) {
    this.timeRange = timeRange;
    this.rangeBar = rangeBar;
    this.picture = new HostPicture(() => this.redraw());
    this.noWindow = new HostWindow();
    this.shownRange = '';
    this.budget = new FrameBudget();
    this.movedMs = -Infinity;
    this.name = null;
    this.charts = [];
    this.uPlot = null;
    this.drawnMs = -Infinity;
    this.stateIcon = makeIcon('ok');
    this.stateWord = document.createTextNode('');
    byId('host-state').append(this.stateIcon, this.stateWord);
    this.figures = FIGURES.map((figure) => this.addFigure(figure));
    this.others = new Map();
  }

  addFigure(figure) {
    const box = make('div', 'figure');
    const number = make('span', 'number', MISSING);
    const unit = make('span', 'unit');
    const value = make('dd');
    value.append(number, unit);
    box.append(make('dt', '', figure.title), value);
    box.dataset.figure = figure.id;
    byId('host-figures').append(box);
    return { ...figure, box, number, unitElement: unit, quantity: new Quantity(figure.unit) };
  }

  open(name) {
    if (name === this.name) return;
    this.close();
    this.name = name;
    setText(byId('host-name'), name);
    this.picture.open(name);
    this.loadCharts();
  }

  close() {
    for (const chart of this.charts) chart.destroy();
    this.charts = [];
    this.others.clear();
    byId('host-other-list').replaceChildren();
    this.picture.open(null);
    this.name = null;
  }

  redraw() {
    this.drawnMs = -Infinity;
    requestPaint();
  }

  async loadCharts() {
    const { name } = this;
    this.uPlot ??= await fetchUPlot();
    if (this.name !== name || this.charts.length > 0) return;
    this.charts = HOST_CHARTS.map((spec) => new Chart(spec, byId('charts'), this.uPlot, this.timeRange));
    this.redraw();
  }

  paint(view) {
    const host = view.hosts.get(this.name);
    this.paintState(host, view);
    if (host && (view.isWhole || view.isTick || view.changedHosts.has(host))) this.paintFigures(host);
    const window = view.windows.get(this.name) ?? this.noWindow;
    if (this.isDue(window, view)) this.paintCharts(host, window, view);
    if (view.isTick || view.isWhole) this.paintBelow(window, view);
  }

  // A hand is followed and new frames are drawn at once, as far as a pixel of time has passed; without either the live edge
  // still moves on.
  isDue(window, view) {
    const { fromMs, toMs, spanMs, isLive } = view.range;
    const { selection } = this.timeRange;
    const shownRange = `${spanMs} ${isLive || `${fromMs} ${toMs}`} ${selection ? `${selection.fromMs} ${selection.toMs}` : ''}`;
    const waitedMs = view.nowMs - this.drawnMs;
    const pixelMs = Math.min(REDRAW_IDLE_MS, Math.max(REDRAW_MS_MIN, spanMs / Math.max(1, this.widthPx())));
    const isMoved = shownRange !== this.shownRange;
    if (isMoved) this.movedMs = view.nowMs;
    this.shownRange = shownRange;
    return view.isWhole || isMoved || this.budget.isPartial || (waitedMs >= pixelMs && window.lastTimeMs !== this.drawnTimeMs)
      || waitedMs >= REDRAW_IDLE_MS || this.charts.some((chart) => chart.isPaintWanted && chart.isVisible);
  }

  // All plots stand in one grid: the widest tells how many points are worth asking for.
  widthPx() {
    return this.charts.reduce((widest, chart) => Math.max(widest, chart.widthPx), 0);
  }

  paintState(host, view) {
    const level = !host ? 'unknown' : view.isUnknown ? 'unknown' : host.health.level;
    const kind = host?.health.kind;
    setData(byId('host-state'), 'level', level);
    setIcon(this.stateIcon, view.isUnknown ? 'lost' : level);
    let words = STATE_WORDS[level];
    if (!host) words = view.hasData ? 'not known here: no host of this name has sent a frame yet' : '';
    else if (view.isUnknown) words = `unknown: the server was last heard ${durationText(view.link.silentMs)} ago`;
    else if (level !== 'ok') words = kind === 'ended' || kind === 'silent' ? issueText(host, view.nowMs) : `live, ${level}: ${issueText(host, view.nowMs)}`;
    if (this.stateWord.data !== words) this.stateWord.data = words;
    setData(byId('host'), 'old', view.isUnknown || kind === 'silent' || kind === 'ended' ? '' : null);
    if (!host) return setText(byId('host-facts'), '');
    const ageMs = host.timeMs === null ? null : view.serverNowMs - host.timeMs;
    const facts = [`last frame ${durationText(ageMs)} ago`, `every ${intervalText(host.intervalMs)}`, `up ${durationText(host.values[COLUMN.uptime] * 1000)}`, machineText(host.labels), ...ownLabels(host.labels)];
    setText(byId('host-facts'), facts.filter(Boolean).join(' · '));
  }

  paintFigures(host) {
    for (const figure of this.figures) {
      const raw = host.values[figure.column];
      if (figure.isWhole) setText(figure.number, Number.isNaN(raw) ? MISSING : wholeText(raw));
      else if (figure.quantity.set(raw * (figure.factor ?? 1))) {
        setText(figure.number, figure.quantity.number);
        setText(figure.unitElement, figure.quantity.unit);
      }
      figure.box.title = Number.isNaN(raw) ? 'missing: this host does not send it' : '';
    }
  }

  paintCharts(host, window, view) {
    this.drawnMs = view.nowMs;
    this.drawnTimeMs = window.lastTimeMs;
    window.settle();
    const { fromMs, toMs, spanMs, isLive } = view.range;
    const { shown, note, unkept, stepMs } = this.picture.of(window, view.range, view, this.widthPx());
    const isEdgeOpen = Math.min(toMs, view.serverNowMs) - shown.lastTimeMs > silentAfterMs(Math.max(window.lastIntervalMs, stepMs));
    const chartView = {
      nowMs: view.nowMs, fromMs, toMs, isLive, note, unkept, live: window, selection: this.timeRange.selection,
      edgeCause: isEdgeOpen ? edgeCause(host, view) : null,
      isOld: isEdgeOpen && isLive,
      isMoved: !isLive || view.nowMs - this.movedMs < MOVED_FOR_MS,
    };
    this.rangeBar.paint(this.name, view.range, Math.max(stepMs, spanMs / Math.max(1, this.widthPx())), view.server.history);
    const isMoving = view.range.isMoving || (!isLive && view.nowMs - this.movedMs < MOVING_FOR_MS);
    const visible = this.charts.filter((chart) => chart.isVisible);
    const picked = this.budget.pick(visible, isMoving, visible.find((chart) => chart.isPointerHere));
    if (isMoving) whenDrawn((drawnMs) => this.budget.spent(drawnMs - view.nowMs, picked.length, visible.length));
    if (this.budget.isPartial) requestPaint();
    let buildsLeft = BUILDS_PER_FRAME;
    for (const chart of picked) {
      if (!chart.plot && buildsLeft-- <= 0) requestPaint();
      else chart.paint(shown, chartView);
    }
    if (buildsLeft < 0) this.drawnMs = -Infinity;
  }

  // The frames of this host's sessions, and metrics that no chart shows.
  paintBelow(window, view) {
    const sessions = view.sessions.get(this.name) ?? [];
    const key = JSON.stringify(sessions);
    if (key !== this.shownSessions) {
      this.shownSessions = key;
      byId('host-ledger').replaceChildren(...sessions.map(sessionLine));
    }
    for (const [series, column] of window.columns) {
      if (CHARTED_NAMES.test(series)) continue;
      if (!this.others.has(series)) this.others.set(series, this.addOther(series));
      setText(this.others.get(series), otherText(newest(column.values)));
    }
    byId('host-other').hidden = this.others.size === 0;
  }

  addOther(series) {
    const line = make('div');
    const value = make('b', 'number', MISSING);
    line.append(make('span', '', series), value);
    byId('host-other-list').append(line);
    return value;
  }
}

// The minified build, half the bytes of the module: a classic script that leaves one global name.
function fetchUPlot() {
  const sheet = make('link');
  sheet.rel = 'stylesheet';
  sheet.href = '/static/vendor/uPlot.min.css';
  const script = make('script');
  script.src = '/static/vendor/uPlot.iife.min.js';
  return new Promise((resolve, reject) => {
    script.onload = () => resolve(globalThis.uPlot);
    script.onerror = () => reject(new Error(`${script.src} could not be loaded: the build has not embedded it`));
    document.head.append(sheet, script);
  });
}

function edgeCause(host, view) {
  if (view.isUnknown) return 'page lost the server';
  if (host?.health.kind === 'ended') return 'ended';
  return host?.health.kind === 'silent' ? 'host silent' : 'no frames';
}

function sessionLine(session) {
  const line = make('p');
  line.append(`Session ${session.session.slice(0, 8)}: `, ...ledgerParts(session));
  if (session.ended) line.append(` · ended: ${session.ended}`);
  for (const [from, to, reason] of (session.missing_ranges ?? []).slice(0, 4)) {
    line.append(` · ${from === to ? `frame ${wholeText(from)}` : `frames ${wholeText(from)}–${wholeText(to)}`} missing: ${reason}`);
  }
  return line;
}

function intervalText(intervalMs) {
  return intervalMs < 1000 ? `${Math.round(intervalMs)} ms` : `${+(intervalMs / 1000).toFixed(1)} s`;
}

function otherText(value) {
  return value === undefined ? MISSING : Math.abs(value) >= 1e6 ? wholeText(value) : String(+value.toPrecision(4));
}
