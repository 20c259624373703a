// The permanent readout: latency by stage from the sample on the host to this screen, the ledger of frames in one line,
// every counter of something dropped or refused, and how the connection has been.
import { byId, make, setData, setText } from './dom.js';
import { clockText, latencyText, plural, wholeText } from './format.js';

const STEPS = ['sent', 'received', 'consumed', 'pushed'];

export class Readout {
  constructor() {
    this.cells = new Map();
    this.addHead('sampled', 'first');
    for (const stage of STEPS) this.addStage(stage, 'step');
    this.addStage('drawn', 'step');
    this.addStage('total', 'total');
    this.addStage('durable', 'beside');
    byId('readout-toggle').addEventListener('click', () => {
      const isOpen = byId('readout').toggleAttribute('data-open');
      byId('readout-toggle').setAttribute('aria-expanded', String(isOpen));
    });
  }

  addHead(name, className) {
    const head = make('th', className, name);
    head.scope = 'col';
    byId('stages-head').append(head);
    for (const quantile of ['p50', 'p99']) {
      if (name !== 'sampled') continue;
      const label = make('th', '', quantile);
      label.scope = 'row';
      byId(`stages-${quantile}`).append(label);
    }
    return head;
  }

  addStage(name, className) {
    this.addHead(name, className);
    const cells = ['p50', 'p99'].map((quantile) => {
      const cell = make('td', `number ${className === 'step' ? '' : className}`, '–');
      cell.dataset.stage = name;
      cell.dataset.quantile = quantile;
      byId(`stages-${quantile}`).append(cell);
      return cell;
    });
    this.cells.set(name, cells);
  }

  paint(view) {
    const { server, drawn } = view;
    const byStage = new Map((server.stages?.stages ?? []).map((stage) => [stage.stage, stage]));
    for (const stage of [...STEPS, 'durable']) this.paintStage(stage, byStage.get(stage));
    this.paintStage('drawn', drawn.fromPushed);
    this.paintStage('total', drawn.total);
    setText(byId('readout-brief'), drawn.total
      ? `sampled → drawn ${latencyText(drawn.total.p50_ms)} p50, ${latencyText(drawn.total.p99_ms)} p99`
      : 'sampled → drawn: not measured yet');
    this.paintLedger(server.ledger);
    this.paintDrops(server.counts ?? {});
    this.paintLink(view);
  }

  paintStage(name, figures) {
    const [p50, p99] = this.cells.get(name);
    const isMeasured = figures && figures.count !== 0;
    setText(p50, isMeasured ? stageText(figures.p50_ms) : '–');
    setText(p99, isMeasured ? stageText(figures.p99_ms) : '–');
  }

  paintLedger(ledger) {
    const line = byId('readout-ledger');
    if (!ledger) return setText(line, 'no ledger yet');
    const isBad = ledger.missing > 0 || ledger.dropped > 0 || ledger.tails_unknown > 0 || countedTwice(ledger) > 0;
    setData(line, 'level', isBad ? 'bad' : 'good');
    const shown = JSON.stringify([ledger.sampled, ledger.stored, ledger.missing, ledger.dropped, ledger.doubled, ledger.waiting, ledger.tails_unknown]);
    if (shown === this.lastLedger) return;
    this.lastLedger = shown;
    line.replaceChildren(...ledgerParts(ledger));
  }

  paintDrops(counts) {
    const names = Object.keys(counts).filter((name) => counts[name] > 0).sort();
    const text = names.map((name) => `${name} ${wholeText(counts[name])}`).join(', ');
    setText(byId('readout-drops'), text);
  }

  paintLink({ clockOffsetMs, clockUncertaintyMs, lastReconnectUnixMs, connects, server }) {
    const parts = [];
    parts.push(lastReconnectUnixMs ? `last reconnect ${clockText(lastReconnectUnixMs)}` : 'no reconnect');
    if (clockOffsetMs !== null) {
      const around = clockUncertaintyMs === null ? '' : ` ± ${latencyText(clockUncertaintyMs)}`;
      const sign = clockOffsetMs >= 0 ? '+' : '−';
      parts.push(`server clock ${sign}${latencyText(Math.abs(clockOffsetMs))}${around}`);
    }
    if (server.viewers) parts.push(plural(server.viewers, 'viewer', 'viewers'));
    if (server.version) parts.push(`version ${server.version}`);
    byId('readout-link').dataset.connects = connects;
    setText(byId('readout-link'), parts.join(' · '));
  }
}

// Clocks of whole milliseconds measure most of it: 0 is what they cannot tell from it.
function stageText(latencyMs) {
  return latencyMs < 0.005 ? '< 1 ms' : latencyText(latencyMs);
}

// `12,408,113 frames: 0 missing, 0 counted twice`. What arrived again was removed: a fact, not a fault.
export function ledgerParts(ledger) {
  const parts = [make('b', '', wholeText(ledger.sampled)), ' frames: ', count(ledger.missing, 'missing'), ', '];
  parts.push(count(countedTwice(ledger), 'counted twice'));
  if (ledger.dropped > 0) parts.push(', ', count(ledger.dropped, 'dropped at the source'));
  const tails = ledger.tails_unknown;
  if (tails > 0) parts.push(', ', count(tails, `${tails === 1 ? 'session' : 'sessions'} with an unknown end`));
  if (ledger.doubled > 0) parts.push(`, ${wholeText(ledger.doubled)} arrived again and were removed`);
  if (ledger.waiting > 0) parts.push(`, ${wholeText(ledger.waiting)} on the way`);
  return parts;
}

// Every sampled frame is in exactly one of these; what is over was counted twice.
function countedTwice(ledger) {
  return Math.max(0, ledger.stored + ledger.waiting + ledger.missing + ledger.dropped - ledger.sampled);
}

function count(value, word) {
  const part = make('span');
  part.append(make('b', value > 0 ? 'bad' : '', wholeText(value)), ` ${word}`);
  return part;
}
