// The last minute of a host's CPU as a line of a few pixels, on a canvas of its own. The right edge is now, so silence
// is a growing blank.
import { fitCanvas } from './dom.js';
import { palette } from './palette.js';

const SPAN_MS = 60_000;
const PERCENT_MAX = 100;

export function drawSparkline(canvas, spark, serverNowMs, widthCss, heightCss) {
  const context = canvas.getContext('2d');
  if (!fitCanvas(canvas, widthCss, heightCss)) context.clearRect(0, 0, widthCss, heightCss);
  const { timesMs, values } = spark;
  const fromMs = serverNowMs - SPAN_MS;
  const xOf = (timeMs) => ((timeMs - fromMs) / SPAN_MS) * widthCss;
  const yOf = (value) => heightCss - 1.5 - (Math.min(value, PERCENT_MAX) / PERCENT_MAX) * (heightCss - 3);
  context.strokeStyle = palette.line;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(0, heightCss - 0.5);
  context.lineTo(widthCss, heightCss - 0.5);
  context.stroke();
  const runs = runsOf(values);
  context.strokeStyle = palette.series[0];
  context.fillStyle = palette.series[0];
  context.lineWidth = 1.25;
  for (const [first, last] of runs) {
    context.beginPath();
    context.moveTo(xOf(timesMs[first]), yOf(values[first]));
    for (let i = first + 1; i <= last; i++) context.lineTo(xOf(timesMs[i]), yOf(values[i]));
    context.stroke();
    // An isolated value has no line: it gets a dot.
    if (first === last) context.fillRect(xOf(timesMs[first]) - 1, yOf(values[first]) - 1, 2, 2);
    context.globalAlpha = 0.16;
    context.lineTo(xOf(timesMs[last]), heightCss - 1);
    context.lineTo(xOf(timesMs[first]), heightCss - 1);
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
