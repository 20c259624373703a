// Which charts a host has and which lines are in each: utilisation, saturation and errors of CPU, memory, disks and
// network, as far as the host collects them. A chart is described here and drawn by chart.js.
//
// A line: { label, color, dash, fill, isHatched, values (to draw), legendValues (to read), low, high }. `color` counts from
// 0; `low` and `high` are there where a point stands for many samples. Stacked lines have a `peak` instead: { label, values, high }.

const CPU_MODES = [
  { label: 'user', modes: ['user'], color: 0 },
  { label: 'nice', modes: ['nice'], color: 1 },
  { label: 'system', modes: ['system'], color: 2 },
  { label: 'irq', modes: ['irq', 'softirq'], color: 3 },
  { label: 'steal', modes: ['steal'], color: 4 },
  { label: 'iowait', modes: ['iowait'], color: 5 },
];
const WORST_DEVICES = 3;
const WORST_INTERFACES = 2;

const KIB = 1024;
const entityCollator = new Intl.Collator('en', { numeric: true });

export const HOST_CHARTS = [
  { id: 'cpu', title: 'CPU', unit: 'percent', fixedEnd: 100, lines: cpuLines },
  { id: 'load', title: 'Load', unit: 'count', floor: 1, lines: (w) => plain(w, [['load1', '1 min'], ['load5', '5 min'], ['load15', '15 min']]) },
  { id: 'processes-waiting', title: 'Running and blocked', unit: 'whole', floor: 4, lines: (w) => plain(w, [['processes_running', 'running'], ['processes_blocked', 'blocked on disk']]), isOptional: true },
  { id: 'memory', title: 'Memory', unit: 'bytes', floor: KIB, lines: memoryLines, end: memoryEnd },
  { id: 'swap', title: 'Swap', unit: 'bytes', floor: 1024 * KIB, lines: swapLines, end: (w) => newest(w.values('memory_swap_total_bytes')), absent: (w) => (newest(w.values('memory_swap_total_bytes')) === 0 ? 'no swap on this host' : null) },
  { id: 'processes', title: 'Processes', unit: 'whole', floor: 100, lines: (w) => plain(w, [['process_count', 'processes']]) },
  { id: 'disk-busy', title: 'Disk busy', unit: 'percent', fixedEnd: 100, lines: (w, ranking) => perEntity(w, ranking, 'device', WORST_DEVICES, [['disk_busy_percent', '']]) },
  { id: 'disk-throughput', title: 'Disk throughput', unit: 'bytes_per_second', floor: 64 * KIB, lines: (w) => plain(w, [['disk_read_bytes_per_second', 'read'], ['disk_write_bytes_per_second', 'written']]) },
  { id: 'disk-operations', title: 'Disk operations', unit: 'per_second', floor: 10, lines: (w, ranking) => perEntity(w, ranking, 'device', WORST_INTERFACES, [['disk_reads_per_second', 'reads'], ['disk_writes_per_second', 'writes']]) },
  { id: 'network', title: 'Network', unit: 'bits_per_second', floor: 100_000, lines: (w, ranking) => perEntity(w, ranking, 'interface', WORST_INTERFACES, [['network_receive_bytes_per_second', 'in'], ['network_transmit_bytes_per_second', 'out']], 8) },
  { id: 'network-packets', title: 'Network packets', unit: 'per_second', floor: 100, lines: (w, ranking) => perEntity(w, ranking, 'interface', WORST_INTERFACES, [['network_receive_packets_per_second', 'in'], ['network_transmit_packets_per_second', 'out']]) },
  { id: 'network-errors', title: 'Network errors and drops', unit: 'per_second', floor: 1, lines: networkErrorLines },
];

// What a query of the past asks for, so that every chart can be drawn from its answer.
export const CHARTED_METRICS = [
  'cpu_usage_percent', 'cpu_mode_percent', 'load1', 'load5', 'load15', 'processes_running', 'processes_blocked', 'process_count',
  'memory_used_bytes', 'memory_total_bytes', 'memory_free_bytes', 'memory_swap_total_bytes', 'memory_swap_free_bytes',
  'disk_busy_percent', 'disk_read_bytes_per_second', 'disk_write_bytes_per_second', 'disk_reads_per_second', 'disk_writes_per_second',
  'network_receive_bytes_per_second', 'network_transmit_bytes_per_second',
  'network_receive_packets_per_second', 'network_transmit_packets_per_second', 'network_receive_errors_per_second',
  'network_transmit_errors_per_second', 'network_receive_drops_per_second', 'network_transmit_drops_per_second',
];

// Names that some chart or figure shows; whatever else a host sends is listed below the charts.
export const CHARTED_NAMES = /^(cpu_usage_percent|cpu_mode_percent|memory_(used|total|available|free)_|memory_used_percent|memory_swap_(total|free)_bytes|disk_|network_|process_count|processes_(running|blocked)|load\d+|uptime_seconds)/;

function plain(window, names) {
  return names
    .map(([key, label], i) => ({ label, color: [0, 2, 3][i], values: window.values(key), low: window.low(key), high: window.high(key) }))
    .filter((line) => line.values !== undefined);
}

// Stacked: each line is drawn as the sum of itself and all below it, filled, the highest first.
function stacked(window, name, parts) {
  const lines = parts.map((part, i) => {
    const below = parts.slice(0, i + 1);
    const values = window.derive(`${name} stack ${i}`, (row) => sumAt(below.flatMap((p) => p.columns), row));
    const legendValues = part.columns.length === 1 ? part.columns[0] : window.derive(`${name} part ${i}`, (row) => sumAt(part.columns, row));
    return { label: part.label, color: part.color, fill: true, isHatched: part.isHatched, values, legendValues };
  });
  return lines.reverse();
}

// undefined where not sampled, null in a gap: the first column decides, a missing addend counts as nothing.
function sumAt(columns, row) {
  const first = columns[0][row];
  if (first === undefined || first === null) return first;
  let sum = 0;
  for (const column of columns) sum += column[row] ?? 0;
  return sum;
}

function cpuLines(window) {
  const parts = CPU_MODES.map(({ label, modes, color }) => ({
    label, color, isHatched: label === 'iowait',
    columns: modes.map((mode) => window.values(`cpu_mode_percent{mode="${mode}"}`)).filter(Boolean),
  })).filter((part) => part.columns.length > 0);
  const usage = window.values('cpu_usage_percent');
  const lines = parts.length > 0 ? stacked(window, 'cpu', parts) : usage ? [{ label: 'usage', color: 0, fill: true, values: usage }] : [];
  lines.peak = { label: 'max', values: usage, high: window.high('cpu_usage_percent') };
  return lines;
}

function memoryLines(window) {
  const used = window.values('memory_used_bytes');
  if (!used) return [];
  const total = window.values('memory_total_bytes');
  const free = window.values('memory_free_bytes');
  const peak = { label: 'used, max', values: used, high: window.high('memory_used_bytes') };
  if (!total || !free) return Object.assign([{ label: 'used', color: 3, fill: true, values: used }], { peak });
  const cache = window.derive('memory cache', (row) => {
    if (used[row] === undefined || used[row] === null) return used[row];
    return Math.max(0, (total[row] ?? 0) - used[row] - (free[row] ?? 0));
  });
  const lines = stacked(window, 'memory', [{ label: 'used', color: 3, columns: [used] }, { label: 'cache', color: 4, columns: [cache] }]);
  return Object.assign(lines, { peak });
}

function memoryEnd(window) {
  return newest(window.values('memory_total_bytes'));
}

function swapLines(window) {
  const total = window.values('memory_swap_total_bytes');
  const free = window.values('memory_swap_free_bytes');
  if (!total || !free || newest(total) === 0) return [];
  const usedOf = (name, columnFree) => window.derive(name, (row) => (columnFree[row] === undefined || columnFree[row] === null ? columnFree[row] : (total[row] ?? 0) - columnFree[row]));
  const lines = [{ label: 'used', color: 3, fill: true, values: usedOf('swap used', free) }];
  const leastFree = window.low('memory_swap_free_bytes');
  return Object.assign(lines, { peak: { label: 'max', values: lines[0].values, high: leastFree && usedOf('swap used, max', leastFree) } });
}

function networkErrorLines(window) {
  const kinds = [['receive_errors', 'errors in', 0], ['transmit_errors', 'errors out', 0], ['receive_drops', 'drops in', 2], ['transmit_drops', 'drops out', 2]];
  return kinds.map(([kind, label, color], i) => {
    const keys = entityKeys(window, `network_${kind}_per_second`, 'interface').map((entry) => entry.key);
    if (keys.length === 0) return null;
    const columns = keys.map((key) => window.values(key));
    const highs = keys.map((key) => window.high(key)).filter(Boolean);
    const high = highs.length > 0 ? window.derive(`network ${kind} max ${keys.length}`, (row) => maxAt(highs, row)) : undefined;
    return { label, color, dash: i % 2 === 1, values: window.derive(`network ${kind} ${keys.length}`, (row) => sumAt(columns, row)), high };
  }).filter(Boolean);
}

// The largest of several: of their sum nobody knows more than that it was at least this.
function maxAt(columns, row) {
  const known = columns.map((column) => column[row]).filter((value) => typeof value === 'number');
  return known.length > 0 ? Math.max(...known) : columns[0][row];
}

// One line per device and metric: the worst few, the rest counted. A device keeps its colour whoever is shown. `ranking`
// remembers who is worst until the chart lets it be decided anew.
function perEntity(window, ranking, label, worstCount, metrics, factor = 1) {
  const entities = entityKeys(window, metrics[0][0], label);
  ranking.worst ??= worstOf(window, entities, metrics, label, worstCount);
  const shown = ranking.showsAll ? entities.map((entity) => entity.name) : ranking.worst;
  const lines = [];
  for (const { name, index } of entities.filter((entity) => shown.includes(entity.name))) {
    metrics.forEach(([metric, suffix], i) => {
      const key = `${metric}{${label}="${name}"}`;
      if (!window.values(key)) return;
      const part = (which) => scaled(window, which, key, factor);
      lines.push({
        label: suffix ? `${name} ${suffix}` : name, color: index % 4, dash: i === 1 || index >= 4,
        values: part('values'), low: part('low'), high: part('high'),
      });
    });
  }
  lines.hidden = entities.length - shown.length;
  lines.foldable = lines.hidden > 0 || ranking.showsAll;
  return lines;
}

function scaled(window, which, key, factor) {
  const raw = window[which](key);
  if (!raw || factor === 1) return raw;
  return window.derive(`${which} ${key} x ${factor}`, (row) => (typeof raw[row] === 'number' ? raw[row] * factor : raw[row]));
}

function entityKeys(window, metric, label) {
  const start = `${metric}{${label}="`;
  const names = [];
  for (const key of window.keys()) {
    if (key.startsWith(start)) names.push(key.slice(start.length, -2));
  }
  names.sort(entityCollator.compare);
  return names.map((name, index) => ({ name, index, key: `${start}${name}"}` }));
}

function worstOf(window, entities, metrics, label, worstCount) {
  const ranks = new Map(entities.map((entity) => [entity.name, rank(window, entity, metrics, label)]));
  const sorted = [...ranks.keys()].sort((a, b) => ranks.get(b) - ranks.get(a));
  // An idle device explains nothing; one is shown nevertheless, so that idle is told from missing.
  return sorted.filter((name, i) => i === 0 || (i < worstCount && ranks.get(name) > 0));
}

// The mean over some rows, the newest or those in view, decides which devices are the worst.
function rank(window, entity, metrics, label) {
  const { from, to } = window.rankRows();
  let sum = 0;
  for (const [metric] of metrics) {
    const values = window.values(`${metric}{${label}="${entity.name}"}`) ?? [];
    for (let row = from; row < to; row++) sum += values[row] ?? 0;
  }
  return sum;
}

export function newest(values) {
  if (!values) return undefined;
  for (let row = values.length - 1; row >= 0; row--) if (typeof values[row] === 'number') return values[row];
  return undefined;
}
