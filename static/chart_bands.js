// What lies behind the lines of a chart: shaded bands where frames are missing, with the cause where there is room, the
// growing blank at the live edge, and a mark where the client was started anew.
import { palette } from './palette.js';

const LABEL_PX_MIN = 84;
const HATCH_PX = 6;
const START_PX_MIN = 8;

export function drawBands(plot, window, view) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const gap of window.gaps) {
    const isRestart = window.sessionStartsMs.some((startMs) => startMs > gap.fromMs && startMs <= gap.toMs);
    // A host that was never seen before has a cause of its own: its first client is no restart.
    drawBand(plot, gap.fromMs, gap.toMs, gap.cause ?? (isRestart ? 'client restarted' : 'no frames'));
  }
  if (view.edgeCause !== null) drawBand(plot, window.lastTimeMs, Math.min(view.toMs, window.knownToMs ?? Infinity), view.edgeCause);
  if (view.unkept !== null) drawBand(plot, view.fromMs, view.unkept.toMs, view.unkept.cause);
  const starts = window.sessionStartsMs.filter((startMs) => startMs > view.fromMs && startMs < view.toMs);
  // So many that they would be a curtain before the lines say nothing.
  if (starts.length * START_PX_MIN < plot.over.clientWidth) for (const startMs of starts) drawStart(plot, startMs);
  ctx.restore();
}

function drawBand(plot, fromMs, toMs, cause) {
  const { ctx, bbox } = plot;
  const left = Math.max(bbox.left, plot.valToPos(fromMs, 'x', true));
  const right = Math.min(bbox.left + bbox.width, plot.valToPos(toMs, 'x', true));
  if (right <= left) return;
  ctx.fillStyle = palette.gap;
  ctx.fillRect(left, bbox.top, right - left, bbox.height);
  ctx.fillStyle = hatchPattern(palette.hatch, null);
  ctx.fillRect(left, bbox.top, right - left, bbox.height);
  const ratio = devicePixelRatio || 1;
  if (right - left < LABEL_PX_MIN * ratio) return;
  ctx.font = palette.font.replace(/^\d+/, String(Math.round(11 * ratio)));
  ctx.fillStyle = palette.muted;
  ctx.textAlign = 'center';
  ctx.textBaseline = 'middle';
  ctx.fillText(cause, (left + right) / 2, bbox.top + bbox.height / 2);
}

function drawStart(plot, startMs) {
  const { ctx, bbox } = plot;
  const x = Math.round(plot.valToPos(startMs, 'x', true));
  if (x <= bbox.left + 1) return;
  ctx.strokeStyle = palette.lineStrong;
  ctx.lineWidth = 1;
  ctx.setLineDash([2, 3]);
  ctx.beginPath();
  ctx.moveTo(x + 0.5, bbox.top);
  ctx.lineTo(x + 0.5, bbox.top + bbox.height);
  ctx.stroke();
  ctx.setLineDash([]);
}

const patterns = new Map();

// Diagonal lines, told from a plain fill without any colour.
export function hatchPattern(color, ground) {
  const key = `${color} ${ground} ${devicePixelRatio}`;
  if (patterns.has(key)) return patterns.get(key);
  const size = Math.round(HATCH_PX * (devicePixelRatio || 1));
  const tile = new OffscreenCanvas(size, size);
  const context = tile.getContext('2d');
  if (ground) {
    context.fillStyle = ground;
    context.fillRect(0, 0, size, size);
  }
  context.strokeStyle = color;
  context.lineWidth = Math.max(1, size / 7);
  context.beginPath();
  for (const shift of [-size, 0, size]) {
    context.moveTo(shift - 1, size + 1);
    context.lineTo(shift + size + 1, -1);
  }
  context.stroke();
  const pattern = context.createPattern(tile, 'repeat');
  patterns.set(key, pattern);
  return pattern;
}
