// Which hosts the fleet shows and in what order. The order is stable: sorted when asked, or at most every ten seconds and
// never while the pointer or the focus is in the table; hosts that appear in between come last.
import { COLUMN } from './store.js';
import { severity } from './health.js';

const RESORT_MS = 10_000;
const nameCollator = new Intl.Collator('en', { numeric: true });

const SORT_COLUMNS = {
  cpu: COLUMN.cpu, memory: COLUMN.memoryPercent, diskRead: COLUMN.diskRead, diskWrite: COLUMN.diskWrite,
  networkReceive: COLUMN.networkReceive, networkTransmit: COLUMN.networkTransmit, load: COLUMN.load,
  processes: COLUMN.processes, uptime: COLUMN.uptime,
};

export class HostOrder {
  constructor() {
    this.sort = { by: 'name', isDescending: false };
    this.all = [];
    this.visible = [];
    this.filter = '';
    this.sortedMs = -Infinity;
    this.sortedUnixMs = 0;
    this.isDirty = true;
  }

  setFilter(filter) {
    if (filter === this.filter) return;
    this.filter = filter;
    this.isDirty = true;
  }

  // Numbers are first asked for from the largest down, names from the first up.
  sortBy(by) {
    const isSame = this.sort.by === by;
    this.sort = { by, isDescending: isSame ? !this.sort.isDescending : by !== 'name' };
    this.sortedMs = -Infinity;
    this.isDirty = true;
  }

  sortNow() {
    this.sortedMs = -Infinity;
    this.isDirty = true;
  }

  isLive() {
    return this.sort.by !== 'name';
  }

  // True when what is visible has changed. `isHeld`: the pointer or the focus is on a row.
  update(hosts, isListChanged, isHeld, nowMs) {
    const isDue = this.isLive() && !isHeld && nowMs - this.sortedMs > RESORT_MS;
    if (!this.isDirty && !isListChanged && !isDue) return false;
    if (isListChanged) this.takeList(hosts);
    if (this.sortedMs === -Infinity || isDue || (isListChanged && !isHeld)) {
      this.all.sort(this.comparison());
      this.sortedMs = nowMs;
      this.sortedUnixMs = Date.now();
    }
    this.visible = this.all.filter(matcher(this.filter));
    this.isDirty = false;
    return true;
  }

  takeList(hosts) {
    const known = new Set(this.all);
    const kept = this.all.filter((host) => hosts.get(host.name) === host);
    const added = [...hosts.values()].filter((host) => !known.has(host));
    this.all = [...kept, ...added];
  }

  comparison() {
    const { by, isDescending } = this.sort;
    const sign = isDescending ? -1 : 1;
    const byName = (a, b) => nameCollator.compare(a.name, b.name);
    if (by === 'name') return (a, b) => sign * byName(a, b);
    if (by === 'state') return (a, b) => sign * (severity(b) - severity(a)) || a.health.sinceMs - b.health.sinceMs || byName(a, b);
    if (by === 'age') return (a, b) => sign * (b.arrivedMs - a.arrivedMs) || byName(a, b);
    const column = SORT_COLUMNS[by];
    // What is missing comes last, whichever way the rest is sorted.
    const valueOf = (host) => (Number.isNaN(host.values[column]) ? -sign * Infinity : host.values[column]);
    return (a, b) => {
      const left = valueOf(a);
      const right = valueOf(b);
      return left === right ? byName(a, b) : sign * (left < right ? -1 : 1);
    };
  }
}

// Every word must be in the name or in a label (`role=db`).
function matcher(filter) {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return (host) => words.every((word) => host.searchText.includes(word));
}
