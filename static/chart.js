// One chart of a host page: uPlot with our axes, our legend with fixed places, a crosshair in step with all other charts,
// and gaps shown as shaded bands with their cause.
import { AxisEnd, splitsUpTo } from './axis.js';
import { drawBands, hatchPattern } from './chart_bands.js';
import { ChartLegend } from './chart_legend.js';
import { holdToInspect } from './chart_touch.js';
import { make, setText } from './dom.js';
import { axisTexts, clockText } from './format.js';
import { requestPaint } from './frame.js';
import { palette } from './palette.js';
import { lowerBound } from './host_window.js';

const RERANK_MS = 10_000;
const CROSSHAIR = 'host';
const AXIS_WIDTH_PX = 64;

export class Chart {
  constructor(spec, parent, uPlot) {
    this.spec = spec;
    this.uPlot = uPlot;
    this.plot = null;
    this.lines = [];
    this.signature = '';
    this.rankedMs = -Infinity;
    this.isOpen = false;
    this.ranking = { worst: null, showsAll: false };
    this.isVisible = true;
    this.isPointerHere = false;
    this.isPaintWanted = true;
    this.cursorLeftPx = null;
    this.axis = new AxisEnd(spec.unit, spec.floor ?? 1);
    this.element = make('section', 'chart');
    this.element.id = `chart-${spec.id}`;
    this.element.setAttribute('aria-label', spec.title);
    this.note = make('span', 'chart-note');
    const head = make('div', 'chart-head');
    head.append(make('h2', 'chart-title', spec.title), this.note);
    this.legend = new ChartLegend(spec.unit, () => this.toggleAll());
    this.box = make('div', 'chart-plot');
    this.tip = make('div', 'chart-tip');
    this.tip.hidden = true;
    this.empty = make('div', 'chart-empty');
    this.empty.hidden = true;
    this.box.append(this.tip, this.empty);
    this.element.append(head, this.legend.element, this.box);
    parent.append(this.element);
    this.observe();
  }

  observe() {
    this.resizes = new ResizeObserver(() => {
      if (this.plot) this.plot.setSize({ width: this.box.clientWidth, height: this.box.clientHeight });
    });
    this.resizes.observe(this.box);
    this.visibility = new IntersectionObserver(([entry]) => {
      this.isVisible = entry.isIntersecting;
      if (this.isVisible) this.wantsPaint();
    });
    this.visibility.observe(this.element);
  }

  destroy() {
    this.resizes.disconnect();
    this.visibility.disconnect();
    this.plot?.destroy();
    this.element.remove();
  }

  toggleAll() {
    this.isOpen = !this.isOpen;
    this.wantsPaint();
  }

  wantsPaint() {
    this.isPaintWanted = true;
    requestPaint();
  }

  // `view` holds the window of time to show: [fromMs, toMs] by the server's clock, and what is known about the host.
  paint(window, view) {
    if (!this.isVisible) return;
    this.isPaintWanted = false;
    this.choose(window, view.nowMs);
    if (this.lines.length === 0) return;
    this.window = window;
    this.view = view;
    const data = [window.timesMs, ...this.lines.map((line) => line.values)];
    const { plot } = this;
    plot.batch(() => {
      plot.setData(data, false);
      plot.setScale('x', { min: view.fromMs, max: view.toMs });
      plot.setScale('y', { min: 0, max: this.end(window, view) });
    });
    this.paintLegend();
  }

  // The lines are looked up anew for every frame, as columns come and grow; which devices are the worst is decided anew
  // only every ten seconds, and never while the pointer is here.
  choose(window, nowMs) {
    if (!this.isPointerHere && nowMs - this.rankedMs > RERANK_MS) {
      this.ranking.worst = null;
      this.rankedMs = nowMs;
    }
    this.ranking.showsAll = this.isOpen;
    this.lines = this.spec.lines(window, this.ranking);
    const signature = this.lines.map((line) => `${line.label} ${line.color}`).join('|') + this.lines.hidden;
    if (signature !== this.signature || (this.lines.length > 0 && !this.plot)) this.build(signature);
    this.showEmpty(window);
  }

  showEmpty(window) {
    const isEmpty = this.lines.length === 0;
    this.element.hidden = isEmpty && this.spec.isOptional === true;
    this.empty.hidden = !isEmpty;
    if (isEmpty) setText(this.empty, this.spec.absent?.(window) ?? 'missing: this host does not send it');
  }

  end(window, view) {
    if (this.spec.fixedEnd) return this.spec.fixedEnd;
    const fixed = this.spec.end?.(window);
    if (fixed) return fixed;
    const first = lowerBound(window.timesMs, view.fromMs);
    let highest = 0;
    for (const { values } of this.lines) {
      for (let row = first; row < values.length; row++) if (values[row] > highest) highest = values[row];
    }
    return this.axis.update(highest, view.nowMs);
  }

  build(signature) {
    this.signature = signature;
    this.plot?.destroy();
    this.plot = null;
    this.legend.setLines(this.lines);
    if (this.lines.length === 0) return;
    const data = [[], ...this.lines.map(() => [])];
    this.plot = new this.uPlot(this.options(), data, this.box);
    this.plot.over.addEventListener('pointerenter', () => {
      this.isPointerHere = true;
    });
    this.plot.over.addEventListener('pointerleave', () => {
      this.isPointerHere = false;
      this.tip.hidden = true;
    });
    holdToInspect(this.plot, (isHeld) => {
      this.isPointerHere = isHeld;
      if (!isHeld) this.tip.hidden = true;
    });
  }

  options() {
    const { unit } = this.spec;
    const axis = { stroke: () => palette.muted, font: palette.font, ticks: { show: false }, grid: { stroke: () => palette.chartGrid, width: 1 } };
    return {
      width: Math.max(100, this.box.clientWidth),
      height: Math.max(60, this.box.clientHeight),
      ms: 1,
      padding: [8, 6, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: CROSSHAIR }, drag: { x: false, y: false, setScale: false }, y: false, points: { size: 5 } },
      scales: { x: { time: true, auto: false }, y: { auto: false } },
      axes: [
        { ...axis, size: 22, gap: 5, space: 70, grid: { show: false }, values: (_, splits) => splits.map((timeMs) => timeLabel(timeMs, splits)) },
        { ...axis, size: AXIS_WIDTH_PX, gap: 5, splits: (plot) => splitsUpTo(plot.scales.y.max), values: (_, splits) => axisTexts(splits, unit) },
      ],
      series: [{}, ...this.lines.map((line) => this.seriesOptions(line))],
      hooks: {
        drawClear: [(plot) => this.view && drawBands(plot, this.window, this.view)],
        // Drawing places the cursor too; only a move is news.
        setCursor: [(plot) => plot.cursor.left !== this.cursorLeftPx && this.wantsPaint()],
      },
    };
  }

  seriesOptions(line) {
    const fill = line.fill ? () => (line.isHatched ? hatchPattern(palette.series[5], palette.surface) : palette.fills[line.color]) : undefined;
    return {
      stroke: () => palette.series[line.color],
      width: line.fill ? 1 : 1.5,
      dash: line.dash ? [5, 3] : undefined,
      fill,
      spanGaps: false,
      points: { show: false, filter: isolatedPoints, size: 4, fill: () => palette.series[line.color], stroke: () => palette.series[line.color] },
    };
  }

  // Values under the crosshair, or the newest.
  paintLegend() {
    const row = this.plot.cursor.idx;
    this.cursorLeftPx = this.plot.cursor.left;
    const isAtCursor = row !== null && row !== undefined && this.plot.cursor.left >= 0;
    this.legend.paint(this.lines, this.window, isAtCursor ? row : null, this.view);
    setText(this.note, isAtCursor ? clockText(this.window.timesMs[row]) : '');
    const isTipShown = isAtCursor && this.isPointerHere;
    this.tip.hidden = !isTipShown;
    if (!isTipShown) return;
    setText(this.tip, clockText(this.window.timesMs[row]));
    const leftPx = AXIS_WIDTH_PX + this.plot.cursor.left;
    const isRight = leftPx > this.box.clientWidth / 2;
    this.tip.style.left = isRight ? 'auto' : `${leftPx + 8}px`;
    this.tip.style.right = isRight ? `${this.box.clientWidth - leftPx + 8}px` : 'auto';
  }
}

// A value between two gaps has no line to either side: it is drawn as a dot.
function isolatedPoints(plot, seriesIndex, isShown, gaps) {
  if (!gaps || gaps.length === 0) return null;
  const values = plot.data[seriesIndex];
  const found = [];
  for (let row = 0; row < values.length; row++) {
    if (typeof values[row] === 'number' && !hasNeighbour(values, row, -1) && !hasNeighbour(values, row, 1)) found.push(row);
  }
  return found.length > 0 ? found : null;
}

function hasNeighbour(values, row, step) {
  let at = row + step;
  while (at >= 0 && at < values.length && values[at] === undefined) at += step;
  return typeof values[at] === 'number';
}

function timeLabel(timeMs, splits) {
  const text = clockText(timeMs);
  return splits.length > 1 && splits[1] - splits[0] < 60_000 ? text : text.slice(0, 5);
}
