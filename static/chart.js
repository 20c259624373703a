// One chart of a host page: uPlot with our axes, our legend with fixed places, a crosshair in step with all other charts,
// and gaps shown as shaded bands with their cause. It draws a HostWindow or a Picture, which look alike.
import { AxisEnd, splitsUpTo } from './axis.js';
import { drawBands, hatchPattern } from './chart_bands.js';
import { listenToHands } from './chart_gestures.js';
import { ChartLegend } from './chart_legend.js';
import { drawPeak, drawSpreads } from './chart_spread.js';
import { make, setText } from './dom.js';
import { axisTexts, clockText, quantityText } from './format.js';
import { requestPaint } from './frame.js';
import { palette } from './palette.js';
import { lowerBound } from './host_window.js';
import { axisTimeTexts, momentText, spanText } from './time_text.js';

const RERANK_MS = 10_000;
const CROSSHAIR = 'host';
const AXIS_WIDTH_PX = 64;
const PADDING_RIGHT_PX = 6;
const TIME_WIDTH_PX = 50;
const LINE_PX = 1.5;
const DENSE_PX = 4;
const TIME_SPACE_PX = 70;
// With a day before the time.
const DAY_TIME_SPACE_PX = 100;
const OFF_MOUSE = () => null;

export class Chart {
  constructor(spec, parent, uPlot, timeRange) {
    this.spec = spec;
    this.uPlot = uPlot;
    this.timeRange = timeRange;
    this.widthPx = 0;
    this.isMarked = false;
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
    this.legend = new ChartLegend(spec.unit, () => this.toggleAll());
    head.append(make('h2', 'chart-title', spec.title), this.legend.peak.item, this.note);
    this.box = make('div', 'chart-plot');
    this.tip = make('div', 'chart-tip');
    this.tip.hidden = true;
    this.empty = make('div', 'chart-empty');
    this.empty.hidden = true;
    this.box.append(this.tip, this.empty);
    this.element.append(head, this.legend.element, this.box);
    parent.append(this.element);
    this.observe();
    document.addEventListener('pointermove', ({ target }) => this.isPointerHere && !this.box.contains(target) && this.leave());
    listenToHands(this, this.timeRange, (isHeld) => {
      this.isPointerHere = isHeld;
      if (!isHeld) this.tip.hidden = true;
    });
  }

  observe() {
    this.resizes = new ResizeObserver(() => {
      this.measure();
      if (this.plot) this.plot.setSize({ width: this.box.clientWidth, height: this.box.clientHeight });
    });
    this.resizes.observe(this.box);
    this.visibility = new IntersectionObserver(([entry]) => {
      this.isVisible = entry.isIntersecting;
      if (this.isVisible) this.wantsPaint();
    });
    this.visibility.observe(this.element);
  }

  // The width of the plotting area, known before uPlot has laid it out.
  measure() {
    this.widthPx = Math.max(0, this.box.clientWidth - AXIS_WIDTH_PX - PADDING_RIGHT_PX);
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

  // `window`: what to draw. `view` holds the stretch of time to show, [fromMs, toMs] by the server's clock, what is known
  // about the host, and its live window (`live`), whose newest values a live chart tells.
  paint(window, view) {
    if (!this.isVisible) return;
    this.isPaintWanted = false;
    this.choose(window, view.nowMs);
    if (this.lines.length === 0) return setText(this.note, view.note);
    this.window = window;
    this.view = view;
    const data = [window.timesMs, ...this.lines.map((line) => line.values)];
    const { plot } = this;
    plot.batch(() => {
      plot.setData(data, false);
      this.thin(window, view);
      plot.setScale('x', { min: view.fromMs, max: view.toMs });
      plot.setScale('y', { min: 0, max: this.end(window, view) });
    });
    // Other rows may lie under the crosshair now.
    if (plot.cursor.left >= 0) plot.setCursor({ left: plot.cursor.left, top: plot.cursor.top }, false, false);
    this.paintMark(view.selection);
    this.paintLegend();
  }

  // Where points are dense, lines are as thin as whole pixels can be: that costs a twentieth, and more is seen.
  thin(window, { fromMs, toMs }) {
    const rows = lowerBound(window.timesMs, toMs) - lowerBound(window.timesMs, fromMs);
    const ratio = devicePixelRatio || 1;
    const width = rows * DENSE_PX > this.widthPx ? Math.floor(ratio) / ratio : LINE_PX;
    this.lines.forEach((line, i) => {
      if (!line.fill) this.plot.series[i + 1].width = width;
    });
  }

  // The stretch that is being marked, on every chart.
  paintMark(selection) {
    if (!selection && !this.isMarked) return;
    this.isMarked = Boolean(selection);
    const { plot } = this;
    const [left, right] = selection ? [selection.fromMs, selection.toMs].map((timeMs) => plot.valToPos(timeMs, 'x')) : [0, 0];
    plot.setSelect({ left, width: right - left, top: 0, height: selection ? plot.over.clientHeight : 0 }, false);
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
    const last = lowerBound(window.timesMs, view.toMs);
    let highest = 0;
    for (const { values, high } of this.lines) {
      for (let row = first; row <= last; row++) {
        const top = high?.[row] ?? values[row];
        if (top > highest) highest = top;
      }
    }
    return this.axis.update(highest, view.nowMs, view.isMoved);
  }

  build(signature) {
    this.signature = signature;
    const { left = -10, top = -10 } = this.plot?.cursor ?? {};
    this.plot?.destroy();
    this.plot = null;
    this.legend.setLines(this.lines, this.lines.peak);
    if (this.lines.length === 0) return;
    this.measure();
    const data = [[], ...this.lines.map(() => [])];
    this.plot = new this.uPlot(this.options(), data, this.box);
    // The crosshair of the one before, whose pointer may rest.
    if (left >= 0) this.plot.setCursor({ left, top }, false, false);
    this.plot.over.addEventListener('pointerenter', () => {
      this.isPointerHere = true;
    });
    this.plot.over.addEventListener('pointerleave', () => this.leave());
  }

  // The pointer is elsewhere; a plot that was made anew under it may not have heard that it left.
  leave() {
    this.isPointerHere = false;
    this.tip.hidden = true;
    if (this.plot?.cursor.left >= 0) this.plot.setCursor({ left: -10, top: -10 }, true, true);
  }

  options() {
    const { unit } = this.spec;
    const axis = { stroke: () => palette.muted, font: palette.font, ticks: { show: false }, grid: { stroke: () => palette.chartGrid, width: 1 } };
    return {
      width: Math.max(100, this.box.clientWidth),
      height: Math.max(60, this.box.clientHeight),
      ms: 1,
      padding: [8, PADDING_RIGHT_PX, 0, 0],
      legend: { show: false },
      cursor: {
        sync: { key: CROSSHAIR }, drag: { x: false, y: false, setScale: false }, y: false, points: { size: 5 },
        bind: { mousedown: OFF_MOUSE, mouseup: OFF_MOUSE, click: OFF_MOUSE, dblclick: OFF_MOUSE },
      },
      scales: { x: { time: true, auto: false }, y: { auto: false } },
      axes: [
        { ...axis, size: 22, gap: 5, space: TIME_SPACE_PX, grid: { show: false }, values: (plot, splits) => timeLabels(plot, splits, this.widthPx) },
        { ...axis, size: AXIS_WIDTH_PX, gap: 5, splits: (plot) => splitsUpTo(plot.scales.y.max), values: (_, splits) => axisTexts(splits, unit) },
      ],
      series: [{}, ...this.lines.map((line) => this.seriesOptions(line))],
      hooks: {
        drawAxes: [(plot) => this.window && (drawBands(plot, this.window, this.view), drawSpreads(plot, this.lines, this.window))],
        draw: [(plot) => this.window && drawPeak(plot, this.lines.peak, this.window)],
        // Drawing places the cursor too; only a move is news.
        setCursor: [(plot) => plot.cursor.left !== this.cursorLeftPx && this.wantsPaint()],
      },
    };
  }

  seriesOptions(line) {
    const fill = line.fill ? () => (line.isHatched ? hatchPattern(palette.series[5], palette.surface) : palette.fills[line.color]) : undefined;
    return {
      stroke: () => palette.series[line.color],
      width: line.fill ? 1 : LINE_PX,
      dash: line.dash ? [5, 3] : undefined,
      fill,
      spanGaps: false,
      points: { show: false, filter: isolatedPoints, size: 4, fill: () => palette.series[line.color], stroke: () => palette.series[line.color] },
    };
  }

  // Values under the crosshair, or the newest that are seen.
  paintLegend() {
    const { plot, window, view } = this;
    const row = plot.cursor.idx;
    this.cursorLeftPx = plot.cursor.left;
    const isAtCursor = row !== null && row !== undefined && plot.cursor.left >= 0 && row < window.timesMs.length;
    if (isAtCursor) {
      this.legend.paint(this.lines, window, row, view);
      this.legend.paintPeak(this.lines.peak, row, row);
    } else {
      const isFolded = view.isLive && window !== view.live;
      const lines = isFolded ? this.spec.lines(view.live, this.ranking) : this.lines;
      const last = view.isLive ? null : lowerBound(window.timesMs, view.toMs + 1) - 1;
      this.legend.paint(this.lines, isFolded ? view.live : window, last, view, lines);
      this.legend.paintPeak(this.lines.peak, lowerBound(window.timesMs, view.fromMs), lowerBound(window.timesMs, view.toMs));
    }
    const moment = isAtCursor ? this.momentAt(row) : '';
    setText(this.note, moment || view.note);
    if (this.note.title !== view.note) this.note.title = view.note;
    this.tip.hidden = !(isAtCursor && this.isPointerHere);
    if (!this.tip.hidden) this.paintTip(row, moment);
  }

  // The time of a row, and how much time it stands for.
  momentAt(row) {
    const { startMs, widthMs } = this.window.spanAt(row);
    if (widthMs === 0) return clockText(startMs);
    return `${momentText(startMs, widthMs)}, ${spanText(widthMs)}`;
  }

  // Beside the pointer: the time and, where a point stands for many samples, from where to where they went.
  paintTip(row, moment) {
    const { unit } = this.spec;
    const extremes = this.lines.filter((line) => line.high && line.high[row] > (line.low ?? line.values)[row])
      .map((line) => `${line.label} ${line.low ? `${quantityText(line.low[row], unit)} to` : 'at most'} ${quantityText(line.high[row], unit)}`);
    setText(this.tip, [moment, ...extremes].join('\n'));
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

function timeLabels(plot, splits, widthPx) {
  const { min, max } = plot.scales.x;
  const pxPerMs = Math.max(1, widthPx) / (max - min);
  const stepMs = splits.length > 1 ? splits[1] - splits[0] : Infinity;
  const textPx = stepMs < 60_000 ? TIME_WIDTH_PX : TIME_WIDTH_PX * 0.6;
  return axisTimeTexts(splits, max - textPx / 2 / pxPerMs, stepMs * pxPerMs >= DAY_TIME_SPACE_PX);
}
