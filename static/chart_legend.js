// The legend of a chart: every line has a fixed place for its value, so that nothing moves while numbers change. It also
// says which series is missing and for how long.
import { make, setData, setText } from './dom.js';
import { MISSING, Quantity, durationText } from './format.js';

const LOOK_BACK_ROWS = 200;
const MISSING_AFTER_MS = 15_000;

export class ChartLegend {
  constructor(unit, onToggle) {
    this.unit = unit;
    this.element = make('ul', 'legend');
    this.entries = [];
    // Stands beside the title of its chart.
    this.peak = this.makeEntry({ label: 'max', isPeak: true });
    this.peak.item.hidden = true;
    this.more = make('button', 'legend-more');
    this.more.type = 'button';
    this.more.addEventListener('click', onToggle);
  }

  // In the order in which they lie on each other: stacks are described from the top, read from the bottom.
  setLines(lines, peak) {
    this.peak.item.hidden = !peak;
    if (peak) setText(this.peak.item.children[1], peak.label);
    const order = lines.some((line) => line.fill) ? [...lines.keys()].reverse() : [...lines.keys()];
    this.entries = order.map((index) => ({ index, ...this.makeEntry(lines[index]) }));
    this.element.replaceChildren(...this.entries.map((entry) => entry.item));
    const isFoldable = lines.foldable === true;
    if (isFoldable) {
      const item = make('li');
      item.append(this.more);
      this.element.append(item);
      setText(this.more, lines.hidden > 0 ? `+ ${lines.hidden} more` : 'worst only');
    }
  }

  makeEntry(line) {
    const item = make(line.isPeak ? 'span' : 'li', line.isPeak ? 'peak' : '');
    const mark = make('i', 'legend-mark');
    mark.style.setProperty('--mark', line.isPeak ? 'var(--text)' : `var(--series-${line.color + 1})`);
    mark.style.setProperty('--mark-fill', `var(--fill-${line.color + 1})`);
    setData(mark, 'kind', line.isHatched ? 'hatch' : line.fill ? 'fill' : line.dash ? 'dash' : 'line');
    const value = make('span', `${line.isPeak ? 'peak-value' : 'legend-value'} number`, MISSING);
    item.append(mark, make('span', '', line.label), value);
    item.dataset.series = line.label;
    return { item, value, quantity: new Quantity(this.unit) };
  }

  // The values of a row, or with `row` null the newest. `told`: the lines whose values are told, when they are not those
  // that are drawn.
  paint(lines, window, row, view, told = lines) {
    for (const entry of this.entries) {
      const { label } = lines[entry.index];
      const line = told[entry.index]?.label === label ? told[entry.index] : told.find((other) => other.label === label);
      const values = line?.legendValues ?? line?.values ?? [];
      const found = lastRow(values, row ?? values.length - 1);
      const missingMs = row === null && found >= 0 ? window.lastTimeMs - window.timesMs[found] : 0;
      if (missingMs > MISSING_AFTER_MS && !view.isOld) {
        setText(entry.value, `${MISSING} missing ${durationText(missingMs)}`);
        continue;
      }
      if (entry.quantity.set(found < 0 ? null : values[found]) || entry.value.textContent !== entry.quantity.text()) {
        setText(entry.value, entry.quantity.text());
      }
    }
  }

  // The largest from one row to another; a line of its own only where not every sample is drawn.
  paintPeak(peak, fromRow, toRow) {
    if (!peak?.values) return;
    setData(this.peak.item, 'drawn', peak.high ? '' : null);
    let highest = -Infinity;
    for (let row = fromRow; row <= toRow; row++) {
      const top = peak.high?.[row] ?? peak.values[row];
      if (top > highest) highest = top;
    }
    this.peak.quantity.set(highest === -Infinity ? null : highest);
    setText(this.peak.value, this.peak.quantity.text());
  }
}

// The row itself, or the last one before it in which the series was sampled; -1 in a gap.
function lastRow(values, row) {
  const stop = Math.max(0, row - LOOK_BACK_ROWS);
  for (let at = row; at >= stop; at--) {
    if (values[at] === null) return -1;
    if (values[at] !== undefined) return at;
  }
  return -1;
}
