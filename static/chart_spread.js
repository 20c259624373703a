// What a point of many samples hides: behind a line, each point as a column from its smallest to its largest value, and, on
// charts whose lines are stacked, the largest as a thin line of its own. A spike of one second is seen in a view of ninety
// days.
import { lowerBound } from './host_window.js';
import { palette } from './palette.js';

const BAND_ALPHA = 0.3;
// What the line itself covers.
const THIN_PX = 2;
// So much above its neighbours a column is a spike; a light one, a pixel wide, would be lost.
const SPIKE_WIDTH_PX = 3;
const SPIKE_PX = 8;
const SPIKE_RATIO = 1.5;
const SPIKE_ALPHA = 0.75;

export function drawSpreads(plot, lines, window) {
  const withBand = lines.filter((line) => line.high);
  if (withBand.length === 0) return;
  const { ctx } = plot;
  clipped(plot, () => {
    for (const line of withBand) {
      const columns = columnsOf(plot, line, window);
      ctx.fillStyle = palette.series[line.color];
      ctx.globalAlpha = BAND_ALPHA;
      for (const { left, right, top, bottom } of columns) if (bottom - top > THIN_PX) ctx.fillRect(left, top, right - left, bottom - top);
      ctx.globalAlpha = SPIKE_ALPHA;
      columns.forEach((column, i) => column.right - column.left <= SPIKE_WIDTH_PX && isSpike(column, columns[i - 1], columns[i + 1], plot.bbox) && ctx.fillRect(column.left, column.top, column.right - column.left, column.bottom - column.top));
    }
  });
}

function isSpike({ top }, before, after, { top: highest, height }) {
  if (before === undefined || after === undefined) return false;
  const basePx = highest + height;
  const besidePx = basePx - Math.min(before.top, after.top);
  return basePx - top > Math.max(besidePx + SPIKE_PX, besidePx * SPIKE_RATIO);
}

// As thin as the screen can: strokes of one pixel cost a twentieth of wider ones.
export function drawPeak(plot, peak, window) {
  if (!peak?.high) return;
  const { ctx } = plot;
  const { xOf, yOf, first, last } = viewOf(plot, window);
  clipped(plot, () => {
    ctx.strokeStyle = palette.text;
    ctx.lineWidth = 1;
    ctx.beginPath();
    let isDown = false;
    for (let row = first; row <= last; row++) {
      const value = peak.high[row];
      if (value === null) isDown = false;
      if (typeof value !== 'number') continue;
      const [x, y] = [xOf(window.timesMs[row]), yOf(value)];
      // A point without neighbours is a dot.
      if (!isDown) ctx.moveTo(x - 1, y);
      ctx.lineTo(x, y);
      isDown = true;
    }
    ctx.stroke();
  });
}

// One column of whole pixels a point; points that share a pixel are one column.
function columnsOf(plot, line, window) {
  const { xOf, yOf, first, last } = viewOf(plot, window);
  const columns = [];
  const lows = line.low ?? line.values;
  for (let row = first; row <= last; row++) {
    if (typeof line.high[row] !== 'number' || typeof lows[row] !== 'number') continue;
    const halfMs = window.widthsMs[row] / 2;
    const left = Math.round(xOf(window.timesMs[row] - halfMs));
    const right = Math.max(left + 1, Math.round(xOf(window.timesMs[row] + halfMs)));
    const [top, bottom] = [Math.round(yOf(line.high[row])), Math.round(yOf(lows[row]))];
    const before = columns.at(-1);
    if (before !== undefined && before.right === left && before.top === top && before.bottom === bottom) {
      before.right = right;
    } else if (before === undefined || before.left < left) {
      columns.push({ left, right, top, bottom });
    } else {
      before.right = Math.max(before.right, right);
      before.top = Math.min(before.top, top);
      before.bottom = Math.max(before.bottom, bottom);
    }
  }
  return columns;
}

// The rows in view, one more on either side, and where they are in the bitmap.
function viewOf(plot, window) {
  const { bbox, scales: { x: { min: fromMs, max: toMs }, y: { max: end } } } = plot;
  return {
    xOf: (timeMs) => bbox.left + ((timeMs - fromMs) / (toMs - fromMs)) * bbox.width,
    yOf: (value) => bbox.top + bbox.height * (1 - value / end),
    first: Math.max(0, lowerBound(window.timesMs, fromMs) - 1),
    last: Math.min(window.timesMs.length - 1, lowerBound(window.timesMs, toMs) + 1),
  };
}

function clipped(plot, draw) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.setLineDash([]);
  draw();
  ctx.restore();
}
