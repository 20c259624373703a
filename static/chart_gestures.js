// Hands on a chart. Mouse: drag marks a stretch to zoom into, shift-drag pans, ctrl or alt and the wheel zoom where the
// pointer is, a sideways wheel pans, double click goes back to live. Touch: sideways drag pans, two fingers zoom, press
// and hold inspects. The plain wheel and an upright swipe scroll the page: nobody is trapped in a chart.

const HOLD_MS = 300;
const SLIP_PX = 8;
const DRAG_PX_MIN = 5;
const WHEEL_ZOOM_PER_PX = 0.0025;
const WHEEL_LINE_PX = 16;
const WHEEL_STEP_PX_MAX = 120;

// `chart.box` holds the plot, which is made anew when its lines change, also under a hand: what the hand does goes on.
// `timeRange`: see time_range.js. onHold(isHeld): a finger has come to rest on the chart, or has left it.
export function listenToHands(chart, timeRange, onHold) {
  const hands = new Hands(chart, timeRange, onHold);
  const { box } = chart;
  const listen = (name, act, options) => box.addEventListener(name, (event) => hands.over?.contains(event.target) && act(event), options);
  listen('pointerdown', (event) => hands.down(event));
  listen('pointermove', (event) => hands.move(event));
  for (const name of ['pointerup', 'pointercancel']) listen(name, (event) => hands.up(event));
  listen('dblclick', () => timeRange.isPast() && timeRange.goLive());
  listen('wheel', (event) => hands.wheel(event), { passive: false });
  // While a finger inspects or two fingers zoom, the page must not take the movement for a scroll.
  listen('touchmove', (event) => (hands.isHeld || hands.gesture) && event.cancelable && event.preventDefault(), { passive: false });
  listen('contextmenu', (event) => hands.isHeld && event.preventDefault());
}

class Hands {
  constructor(chart, timeRange, onHold) {
    Object.assign(this, { chart, timeRange, onHold });
    this.pointers = new Map();
    // null, or what the pointers do: { kind: 'mark' | 'pan' | 'pinch', ... }
    this.gesture = null;
    this.isHeld = false;
    this.timer = null;
  }

  get over() {
    return this.chart.plot?.over;
  }

  // The moment at a place of the screen, while a stretch of time is seen.
  timeAt(clientX, { fromMs, spanMs } = this.timeRange.last) {
    const box = this.over.getBoundingClientRect();
    return fromMs + ((clientX - box.left) / box.width) * spanMs;
  }

  down(event) {
    if (event.pointerType === 'mouse' && event.button !== 0) return;
    this.pointers.set(event.pointerId, { startX: event.clientX, startY: event.clientY, x: event.clientX });
    if (event.pointerType === 'touch') this.touchDown(event);
  }

  touchDown(event) {
    clearTimeout(this.timer);
    if (this.pointers.size === 2) return this.begin('pinch');
    this.timer = setTimeout(() => {
      this.isHeld = true;
      this.onHold(true);
      this.inspect(event);
    }, HOLD_MS);
  }

  move(event) {
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) return;
    pointer.x = event.clientX;
    if (this.isHeld) return this.inspect(event);
    if (this.gesture === null) this.maybeBegin(event, pointer);
    if (this.gesture !== null) this.go(event);
  }

  maybeBegin(event, { startX, startY, x }) {
    const isTouch = event.pointerType === 'touch';
    const slipPx = Math.hypot(x - startX, event.clientY - startY);
    if (isTouch && slipPx > SLIP_PX) clearTimeout(this.timer);
    if (isTouch ? Math.abs(x - startX) > SLIP_PX : Math.abs(x - startX) > DRAG_PX_MIN) {
      this.begin(isTouch || event.shiftKey ? 'pan' : 'mark');
    }
  }

  begin(kind) {
    this.timeRange.hold();
    const seen = { ...this.timeRange.last };
    const startsMs = [...this.pointers.values()].map((pointer) => this.timeAt(pointer.startX, seen));
    this.gesture = { kind, seen, startsMs };
    this.chart.box.dataset.gesture = kind;
  }

  go(event) {
    const { kind, seen, startsMs } = this.gesture;
    if (kind !== 'pinch' && !this.over.hasPointerCapture(event.pointerId)) this.over.setPointerCapture(event.pointerId);
    if (this.timeRange.held === null && kind === 'mark') return this.end();
    const nowsMs = [...this.pointers.values()].map((pointer) => this.timeAt(pointer.x, seen));
    if (kind === 'mark') this.timeRange.select(ordered(startsMs[0], nowsMs[0], seen));
    if (kind === 'pan') this.timeRange.place(seen.toMs - (nowsMs[0] - startsMs[0]), seen.spanMs);
    if (kind === 'pinch' && nowsMs.length === 2) this.pinch(startsMs, nowsMs, seen);
  }

  // The moments under two fingers stay under them.
  pinch(startsMs, nowsMs, seen) {
    const spreadMs = Math.max(Math.abs(nowsMs[1] - nowsMs[0]), seen.spanMs / 50);
    const spanMs = (seen.spanMs * Math.abs(startsMs[1] - startsMs[0])) / spreadMs;
    const share = ((nowsMs[0] + nowsMs[1]) / 2 - seen.fromMs) / seen.spanMs;
    const middleMs = (startsMs[0] + startsMs[1]) / 2;
    this.timeRange.place(middleMs + (1 - share) * spanMs, spanMs);
  }

  up(event) {
    const { gesture } = this;
    if (gesture?.kind === 'mark' && event.type === 'pointerup' && this.timeRange.selection) {
      const { fromMs, toMs } = this.timeRange.selection;
      this.end();
      if (toMs > fromMs) this.timeRange.zoomTo(fromMs, toMs);
    }
    this.pointers.delete(event.pointerId);
    if (this.pointers.size === 0 || gesture?.kind === 'pinch') this.end();
  }

  end() {
    clearTimeout(this.timer);
    if (this.gesture) {
      this.gesture = null;
      this.pointers.clear();
      delete this.chart.box.dataset.gesture;
      this.timeRange.release();
    }
    if (!this.isHeld) return;
    this.isHeld = false;
    this.chart.plot?.setCursor({ left: -10, top: -10 }, true, true);
    this.onHold(false);
  }

  inspect(event) {
    const box = this.over.getBoundingClientRect();
    this.chart.plot?.setCursor({ left: event.clientX - box.left, top: event.clientY - box.top }, true, true);
  }

  wheel(event) {
    const isZoom = event.ctrlKey || event.altKey;
    const isSideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!isZoom && !isSideways) return;
    event.preventDefault();
    const toPx = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : WHEEL_LINE_PX;
    const px = (isZoom && !isSideways ? event.deltaY : event.deltaX) * toPx;
    const stepPx = Math.max(-WHEEL_STEP_PX_MAX, Math.min(WHEEL_STEP_PX_MAX, px));
    const { timeRange } = this;
    if (isZoom) timeRange.zoomAt(this.timeAt(event.clientX), Math.exp(stepPx * WHEEL_ZOOM_PER_PX));
    else timeRange.panBy((stepPx / this.over.clientWidth) * timeRange.last.spanMs);
  }
}

function ordered(oneMs, otherMs, { fromMs, toMs }) {
  const inside = (timeMs) => Math.min(toMs, Math.max(fromMs, timeMs));
  return { fromMs: inside(Math.min(oneMs, otherMs)), toMs: inside(Math.max(oneMs, otherMs)) };
}
