// The last minute of every visible host's CPU, a line of a few pixels each. The right edge is now, so silence is a
// growing blank. All lie on one canvas over the table: forty canvases would cost the compositor ten times as much.
import { fitCanvas, make } from './dom.js';
import { palette } from './palette.js';

const SPAN_MS = 60_000;
const PERCENT_MAX = 100;
const PADDING_PX = 4;

export class Sparklines {
  constructor(body) {
    this.canvas = make('canvas', 'sparks');
    this.canvas.setAttribute('aria-hidden', 'true');
    this.context = this.canvas.getContext('2d');
    body.append(this.canvas);
  }

  // Over the rows on the screen, at the place their spark cell leaves free.
  place(cell, firstIndex, rows, rowPx) {
    this.firstIndex = firstIndex;
    this.offsetPx = cell.offsetTop;
    this.widthPx = cell.offsetWidth;
    this.heightPx = cell.offsetHeight;
    this.rowPx = rowPx;
    const { style } = this.canvas;
    style.left = `${cell.offsetLeft}px`;
    style.top = `${firstIndex * rowPx}px`;
    style.width = `${this.widthPx}px`;
    style.height = `${rows * rowPx}px`;
    if (!fitCanvas(this.canvas, this.widthPx, rows * rowPx)) this.context.clearRect(0, 0, this.widthPx, rows * rowPx);
  }

  draw(row, serverNowMs) {
    row.sparkMs = serverNowMs;
    const { context, widthPx, heightPx } = this;
    const topPx = (row.index - this.firstIndex) * this.rowPx + this.offsetPx;
    context.clearRect(0, topPx, widthPx, heightPx);
    context.save();
    context.translate(0, topPx + PADDING_PX);
    drawLine(context, row.host.spark, serverNowMs, widthPx, heightPx - 2 * PADDING_PX);
    context.restore();
  }
}

function drawLine(context, spark, serverNowMs, widthPx, heightPx) {
  const { timesMs, values } = spark;
  const fromMs = serverNowMs - SPAN_MS;
  const xOf = (timeMs) => Math.max(0, ((timeMs - fromMs) / SPAN_MS) * widthPx);
  const yOf = (value) => heightPx - 1.5 - (Math.min(value, PERCENT_MAX) / PERCENT_MAX) * (heightPx - 3);
  context.fillStyle = palette.line;
  context.fillRect(0, heightPx - 1, widthPx, 1);
  context.strokeStyle = palette.series[0];
  context.fillStyle = palette.series[0];
  context.lineWidth = 1.25;
  for (const [first, last] of runsOf(values)) {
    if (timesMs[last] < fromMs) continue;
    context.beginPath();
    context.moveTo(xOf(timesMs[first]), yOf(values[first]));
    for (let i = first + 1; i <= last; i++) context.lineTo(xOf(timesMs[i]), yOf(values[i]));
    context.stroke();
    // An isolated value has no line: it gets a dot.
    if (first === last) context.fillRect(xOf(timesMs[first]) - 1, yOf(values[first]) - 1, 2, 2);
    context.globalAlpha = 0.16;
    context.lineTo(xOf(timesMs[last]), heightPx - 1);
    context.lineTo(xOf(timesMs[first]), heightPx - 1);
    context.fill();
    context.globalAlpha = 1;
  }
}

// Stretches without a gap.
function runsOf(values) {
  const runs = [];
  let first = -1;
  for (let i = 0; i <= values.length; i++) {
    const isValue = i < values.length && !Number.isNaN(values[i]) && values[i] !== null;
    if (isValue && first < 0) first = i;
    if (!isValue && first >= 0) {
      runs.push([first, i - 1]);
      first = -1;
    }
  }
  return runs;
}
