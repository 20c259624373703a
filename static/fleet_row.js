// One row of the table of hosts, bound to whichever host is at its place.
import { make, makeIcon, setData, setIcon, setText } from './dom.js';
import { Quantity, durationText, wholeText } from './format.js';
import { issueText } from './health.js';
import { COLUMN } from './store.js';

export const TABLE_COLUMNS = [
  { key: 'state', title: '', label: 'state' },
  { key: 'name', title: 'Host', label: 'name' },
  { key: 'cpu', title: 'CPU', label: 'CPU usage', column: COLUMN.cpu, unit: 'percent', hasBar: true },
  { key: 'spark', title: 'last minute', label: 'CPU in the last minute' },
  { key: 'memory', title: 'Memory', label: 'memory used', column: COLUMN.memoryPercent, unit: 'percent', hasBar: true },
  { key: 'diskRead', title: 'Disk read', label: 'disk read', column: COLUMN.diskRead, unit: 'bytes_per_second' },
  { key: 'diskWrite', title: 'Disk write', label: 'disk written', column: COLUMN.diskWrite, unit: 'bytes_per_second' },
  { key: 'networkReceive', title: 'Net in', label: 'network received', column: COLUMN.networkReceive, unit: 'bits_per_second', factor: 8 },
  { key: 'networkTransmit', title: 'Net out', label: 'network sent', column: COLUMN.networkTransmit, unit: 'bits_per_second', factor: 8 },
  { key: 'load', title: 'Load', label: 'load over one minute', column: COLUMN.load, unit: 'count' },
  { key: 'processes', title: 'Procs', label: 'processes', column: COLUMN.processes, isWhole: true },
  { key: 'uptime', title: 'Up', label: 'uptime', column: COLUMN.uptime, isDuration: true },
  { key: 'age', title: 'Age', label: 'age of the last frame' },
];
const LEVEL_WORDS = { ok: 'live', warning: 'warning', critical: 'critical', ended: 'ended' };

export class FleetRow {
  constructor() {
    this.host = null;
    this.index = 0;
    this.sparkMs = 0;
    this.element = make('div', 'row row-body');
    this.element.setAttribute('role', 'row');
    this.cells = {};
    this.values = [];
    for (const column of TABLE_COLUMNS) this.addCell(column);
  }

  addCell(column) {
    const cell = make('div', `cell cell-${column.key}`);
    cell.setAttribute('role', 'cell');
    cell.dataset.column = column.key;
    this.cells[column.key] = cell;
    if (column.key === 'state') {
      this.icon = makeIcon('ok');
      this.stateWord = make('span', 'visually-hidden');
      cell.append(this.icon, this.stateWord);
    } else if (column.key === 'name') {
      this.link = make('a');
      this.labels = make('span', 'labels');
      cell.append(this.link, this.labels);
    } else if (column.key === 'spark') {
      cell.setAttribute('aria-hidden', 'true');
    } else if (column.column !== undefined) {
      cell.classList.add('cell-value');
      this.values.push(makeValue(cell, column));
    }
    this.element.append(cell);
  }

  bind(host) {
    this.host = host;
    this.element.hidden = host === null;
    if (host === null) return;
    setData(this.element, 'host', host.name);
    setText(this.link, host.name);
    this.link.href = `#/host/${encodeURIComponent(host.name)}`;
    this.cells.name.title = host.name;
    setText(this.labels, Object.entries(host.labels).map(([key, value]) => `${key}=${value}`).join(' '));
    for (const value of this.values) value.quantity = new Quantity(value.column.unit);
  }

  moveTo(index, rowPx) {
    this.index = index;
    const top = `${index * rowPx}px`;
    if (this.element.style.top !== top) this.element.style.top = top;
    this.element.setAttribute('aria-rowindex', String(index + 2));
  }

  paintValues() {
    for (const value of this.values) paintValue(value, this.host.values[value.column.column]);
  }

  // The age moves on without news, and so does the line.
  isSparkDue({ serverNowMs }) {
    return serverNowMs - this.sparkMs > 1500;
  }

  // The state, the age, and the look of old values.
  paintState(view) {
    const { host } = this;
    const { level, kind } = host.health;
    const shown = view.isUnknown ? 'unknown' : level;
    setData(this.element, 'level', shown);
    setIcon(this.icon, view.isUnknown ? 'lost' : level);
    setText(this.stateWord, view.isUnknown ? 'unknown' : LEVEL_WORDS[level]);
    this.cells.state.title = view.isUnknown ? 'unknown: this page has lost the server' : level === 'ok' ? 'live' : issueText(host, view.nowMs);
    const isOld = view.isUnknown || kind === 'silent' || kind === 'ended';
    setData(this.element, 'old', isOld ? '' : null);
    const ageMs = host.timeMs === null ? view.nowMs - host.arrivedMs : view.serverNowMs - host.timeMs;
    setText(this.cells.age, durationText(ageMs));
  }
}

function makeValue(cell, column) {
  const number = make('span', 'number', '–');
  const unit = make('span', `unit ${column.unit === 'percent' ? 'unit-percent' : column.unit?.includes('per_second') ? '' : 'unit-none'}`);
  cell.append(number, unit);
  const value = { column, cell, number: number.firstChild, unit, bar: null, quantity: null };
  if (column.hasBar) {
    value.bar = make('span', 'bar');
    cell.append(value.bar);
  }
  return value;
}

function paintValue(value, raw) {
  const { column } = value;
  if (column.isWhole || column.isDuration) {
    const text = Number.isNaN(raw) ? '–' : column.isWhole ? wholeText(raw) : durationText(raw * 1000);
    if (value.number.data !== text) value.number.data = text;
  } else if (value.quantity.set(raw * (column.factor ?? 1))) {
    value.number.data = value.quantity.number;
    setText(value.unit, value.quantity.unit);
  }
  const isMissing = Number.isNaN(raw);
  if (value.isMissing !== isMissing) {
    value.cell.title = isMissing ? `missing: this host does not send ${column.label}` : '';
    value.isMissing = isMissing;
  }
  if (value.bar) value.bar.style.backgroundSize = `${isMissing ? 0 : Math.min(100, raw).toFixed(1)}% 100%`;
}
