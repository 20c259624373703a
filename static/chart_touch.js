// Touch: press and hold puts the crosshair under the finger; a swipe still scrolls the page.

const HOLD_MS = 300;
const SLIP_PX = 8;

export function holdToInspect(plot, onHold) {
  const { over } = plot;
  let timer = null;
  let start = null;
  let isHeld = false;
  const place = (event) => {
    const box = over.getBoundingClientRect();
    plot.setCursor({ left: event.clientX - box.left, top: event.clientY - box.top }, true, true);
  };
  const end = () => {
    clearTimeout(timer);
    if (isHeld) plot.setCursor({ left: -10, top: -10 }, true, true);
    if (isHeld) onHold(false);
    isHeld = false;
  };
  over.addEventListener('pointerdown', (event) => {
    if (event.pointerType !== 'touch') return;
    start = event;
    timer = setTimeout(() => {
      isHeld = true;
      onHold(true);
      place(event);
    }, HOLD_MS);
  });
  over.addEventListener('pointermove', (event) => {
    if (event.pointerType !== 'touch') return;
    if (isHeld) place(event);
    else if (start && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > SLIP_PX) clearTimeout(timer);
  });
  // While held the page must not take the movement for a scroll.
  over.addEventListener('touchmove', (event) => isHeld && event.preventDefault(), { passive: false });
  over.addEventListener('contextmenu', (event) => isHeld && event.preventDefault());
  for (const name of ['pointerup', 'pointercancel']) over.addEventListener(name, end);
}
