// What a point of many samples hides: the band from the smallest to the largest behind a line, and, on charts whose lines
// are stacked, the largest as a thin line of its own. A spike of one second is seen in a view of ninety days.
import { lowerBound } from './host_window.js';
import { palette } from './palette.js';

const BAND_ALPHA = 0.3;
const EDGE_ALPHA = 0.55;

export function drawSpreads(plot, lines) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const line of lines) {
    if (!line.high) continue;
    const color = palette.series[line.color];
    for (const run of spreadRuns(plot, line.low ?? line.values, line.high)) drawBandOf(ctx, run, color);
  }
  ctx.restore();
}

export function drawPeak(plot, peak) {
  if (!peak?.values) return;
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.strokeStyle = palette.text;
  ctx.lineWidth = devicePixelRatio || 1;
  for (const run of spreadRuns(plot, peak.values, peak.values)) {
    ctx.stroke(pathAlong(run.highs, run.highs.length === 1 ? ctx.lineWidth : 0));
  }
  ctx.restore();
}

function drawBandOf(ctx, { lows, highs }, color) {
  const ratio = devicePixelRatio || 1;
  const band = pathAlong(highs, ratio);
  for (let i = lows.length - 1; i >= 0; i--) band.lineTo(lows[i][0] + (lows.length === 1 ? ratio : 0), lows[i][1]);
  band.closePath();
  ctx.fillStyle = color;
  ctx.globalAlpha = BAND_ALPHA;
  ctx.fill(band);
  // A spike narrower than a pixel would be lost in the light fill.
  ctx.strokeStyle = color;
  ctx.globalAlpha = EDGE_ALPHA;
  ctx.lineWidth = ratio / 2;
  ctx.stroke(pathAlong(highs, ratio));
}

// A single point is as wide as a pixel.
function pathAlong(points, widthPx) {
  const path = new Path2D();
  points.forEach(([x, y], i) => (i === 0 ? path.moveTo(x, y) : path.lineTo(x, y)));
  if (points.length === 1) path.lineTo(points[0][0] + widthPx, points[0][1]);
  return path;
}

// The visible rows between gaps, as pixels: { lows: [[x, y]], highs }.
function spreadRuns(plot, low, high) {
  const { bbox, scales: { x: { min: fromMs, max: toMs }, y: { max: end } } } = plot;
  const times = plot.data[0];
  const xOf = (timeMs) => bbox.left + ((timeMs - fromMs) / (toMs - fromMs)) * bbox.width;
  const yOf = (value) => bbox.top + bbox.height * (1 - value / end);
  const runs = [];
  let run = null;
  const lastRow = Math.min(times.length - 1, lowerBound(times, toMs) + 1);
  for (let row = Math.max(0, lowerBound(times, fromMs) - 1); row <= lastRow; row++) {
    if (high[row] === null) run = null;
    if (typeof high[row] !== 'number' || typeof low[row] !== 'number') continue;
    if (run === null) runs.push((run = { lows: [], highs: [] }));
    run.highs.push([xOf(times[row]), yOf(high[row])]);
    run.lows.push([xOf(times[row]), yOf(low[row])]);
  }
  return runs;
}
