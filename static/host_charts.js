// Which charts a host has and which lines are in each: utilisation, saturation and errors of CPU, memory, disks and
// network, as far as the host collects them. A chart is described here and drawn by chart.js.
//
// A line: { label, unit, color, dash, fill, values (to draw), legendValues (to read), hint }. `color` counts from 0.

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
const RANK_ROWS = 60;

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

// Names that some chart or figure shows; whatever else a host sends is listed below the charts.
export const CHARTED_NAMES = /^(cpu_usage_percent|cpu_mode_percent|memory_(used|total|available|free)_|memory_used_percent|memory_swap_(total|free)_bytes|disk_|network_|process_count|processes_(running|blocked)|load\d+|uptime_seconds)/;

function plain(window, names) {
  return names
    .map(([key, label], i) => ({ label, color: [0, 2, 3][i], values: window.values(key) }))
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
  if (parts.length === 0) return usage ? [{ label: 'usage', color: 0, fill: true, values: usage }] : [];
  return stacked(window, 'cpu', parts);
}

function memoryLines(window) {
  const used = window.values('memory_used_bytes');
  if (!used) return [];
  const total = window.values('memory_total_bytes');
  const free = window.values('memory_free_bytes');
  if (!total || !free) return [{ label: 'used', color: 3, fill: true, values: used }];
  const cache = window.derive('memory cache', (row) => {
    if (used[row] === undefined || used[row] === null) return used[row];
    return Math.max(0, (total[row] ?? 0) - used[row] - (free[row] ?? 0));
  });
  const lines = stacked(window, 'memory', [{ label: 'used', color: 3, columns: [used] }, { label: 'cache', color: 4, columns: [cache] }]);
  return lines;
}

function memoryEnd(window) {
  return newest(window.values('memory_total_bytes'));
}

function swapLines(window) {
  const total = window.values('memory_swap_total_bytes');
  const free = window.values('memory_swap_free_bytes');
  if (!total || !free || newest(total) === 0) return [];
  const used = window.derive('swap used', (row) => (free[row] === undefined || free[row] === null ? free[row] : (total[row] ?? 0) - free[row]));
  return [{ label: 'used', color: 3, fill: true, values: used }];
}

function networkErrorLines(window) {
  const kinds = [['receive_errors', 'errors in', 0], ['transmit_errors', 'errors out', 0], ['receive_drops', 'drops in', 2], ['transmit_drops', 'drops out', 2]];
  return kinds.map(([kind, label, color], i) => {
    const columns = entityKeys(window, `network_${kind}_per_second`, 'interface').map((entry) => window.values(entry.key));
    if (columns.length === 0) return null;
    return { label, color, dash: i % 2 === 1, values: window.derive(`network ${kind} ${columns.length}`, (row) => sumAt(columns, row)) };
  }).filter(Boolean);
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
      const raw = window.values(`${metric}{${label}="${name}"}`);
      if (!raw) return;
      const values = factor === 1 ? raw : window.derive(`${metric} ${name} x ${factor}`, (row) => (typeof raw[row] === 'number' ? raw[row] * factor : raw[row]));
      lines.push({ label: suffix ? `${name} ${suffix}` : name, color: index % 4, dash: i === 1 || index >= 4, values });
    });
  }
  lines.hidden = entities.length - shown.length;
  lines.foldable = entities.length > worstCount;
  return lines;
}

function entityKeys(window, metric, label) {
  const start = `${metric}{${label}="`;
  const names = [];
  for (const key of window.columns.keys()) {
    if (key.startsWith(start)) names.push(key.slice(start.length, -2));
  }
  names.sort(entityCollator.compare);
  return names.map((name, index) => ({ name, index, key: `${start}${name}"}` }));
}

function worstOf(window, entities, metrics, label, worstCount) {
  const ranks = new Map(entities.map((entity) => [entity.name, rank(window, entity, metrics, label)]));
  return [...ranks.keys()].sort((a, b) => ranks.get(b) - ranks.get(a)).slice(0, worstCount);
}

// The mean over the last minute or so decides which devices are the worst.
function rank(window, entity, metrics, label) {
  let sum = 0;
  for (const [metric] of metrics) {
    const values = window.values(`${metric}{${label}="${entity.name}"}`) ?? [];
    for (let row = Math.max(0, values.length - RANK_ROWS); row < values.length; row++) sum += values[row] ?? 0;
  }
  return sum;
}

export function newest(values) {
  if (!values) return undefined;
  for (let row = values.length - 1; row >= 0; row--) if (typeof values[row] === 'number') return values[row];
  return undefined;
}
