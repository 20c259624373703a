// Everything drawn in one animation frame. Whoever has news calls `requestPaint`; the painter runs once per frame, and
// what waited for the screen learns the time after the browser has put that frame together.

let painter = null;
let isScheduled = false;
const waiting = [];
const afterPaint = new MessageChannel();

export function setPainter(paint) {
  painter = paint;
}

export function requestPaint() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(paintOnce);
}

// Calls `report(monotonicMs)` once the next painted frame is done.
export function whenDrawn(report) {
  waiting.push(report);
}

function paintOnce(startedMs) {
  isScheduled = false;
  painter(startedMs);
  // A message posted inside the frame's callback is delivered after style, layout and paint of that frame.
  if (waiting.length > 0) afterPaint.port2.postMessage(null);
}

afterPaint.port1.onmessage = () => {
  const drawnMs = performance.now();
  for (const report of waiting.splice(0)) report(drawnMs);
};
