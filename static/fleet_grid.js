// The heat grid: one canvas, one cell per host. Brightness is use, shape is state (octagon-like cross: silent or critical;
// corner: warning; outline: ended; hatch: unknown), so that it reads in grey as well. The table is its text equivalent.
import { fitCanvas } from './dom.js';
import { palette } from './palette.js';
import { COLUMN } from './store.js';

const GAP_PX = 2;
const CELL_PX_MAX = 22;
const CELL_PX_MIN = 8;
const HEIGHT_PX_MAX = 210;

export class FleetGrid {
  constructor(canvas, onPick, onHover) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.column = COLUMN.cpu;
    this.hosts = [];
    this.indexOf = new Map();
    this.drawn = [];
    this.widthPx = 0;
    this.isWhole = true;
    this.marked = null;
    canvas.addEventListener('click', (event) => {
      const host = this.hostAt(event);
      if (host) onPick(host);
    });
    canvas.addEventListener('pointermove', (event) => onHover(this.hostAt(event)));
    canvas.addEventListener('pointerleave', () => onHover(null));
    new ResizeObserver(() => {
      this.isWhole = true;
    }).observe(canvas.parentElement);
    palette.onChange(() => {
      this.isWhole = true;
    });
  }

  setHosts(hosts) {
    this.hosts = hosts;
    this.indexOf = new Map(hosts.map((host, i) => [host, i]));
    this.isWhole = true;
  }

  setColumn(column) {
    this.column = column;
    this.isWhole = true;
  }

  layout() {
    this.widthPx = this.canvas.parentElement.clientWidth;
    const count = this.hosts.length;
    let pitch = CELL_PX_MAX + GAP_PX;
    for (; pitch > CELL_PX_MIN + GAP_PX; pitch -= 1) {
      if (Math.ceil(count / Math.floor(this.widthPx / pitch)) * pitch <= HEIGHT_PX_MAX) break;
    }
    this.pitch = pitch;
    this.perRow = Math.max(1, Math.floor((this.widthPx + GAP_PX) / pitch));
    const heightPx = Math.ceil(count / this.perRow) * pitch;
    if (this.canvas.style.height !== `${heightPx}px`) this.canvas.style.height = `${heightPx}px`;
    if (!fitCanvas(this.canvas, this.widthPx, heightPx)) this.context.clearRect(0, 0, this.widthPx, heightPx);
    this.drawn = new Array(count).fill(-1);
  }

  // Draws the cells whose look has changed; all of them after a change of size, order or colours.
  paint(changedHosts, isUnknown, isTick) {
    const isWhole = this.isWhole || this.isUnknown !== isUnknown;
    this.isUnknown = isUnknown;
    if (isWhole) this.layout();
    this.isWhole = false;
    if (isWhole || isTick) {
      for (let i = 0; i < this.hosts.length; i++) this.paintCell(i);
      return;
    }
    for (const host of changedHosts) {
      const i = this.indexOf.get(host);
      if (i !== undefined) this.paintCell(i);
    }
  }

  paintCell(i) {
    const host = this.hosts[i];
    const value = host.values[this.column];
    const look = (Number.isNaN(value) ? 'missing' : palette.heatOf(value)) + (this.isUnknown ? 'unknown' : host.health.level) + (host === this.marked);
    if (this.drawn[i] === look) return;
    this.drawn[i] = look;
    const { context, pitch } = this;
    const size = pitch - GAP_PX;
    const x = (i % this.perRow) * pitch;
    const y = Math.floor(i / this.perRow) * pitch;
    context.clearRect(x - 1, y - 1, size + 2, size + 2);
    this.paintShape(host, x, y, size);
    if (host === this.marked) this.outline(x, y, size, palette.text, 2);
  }

  paintShape(host, x, y, size) {
    const { context } = this;
    const level = host.health.level;
    const value = host.values[this.column];
    if (level === 'ended') return this.outline(x, y, size, palette.lineStrong, 1);
    if (level === 'critical' && !this.isUnknown) return this.paintCritical(x, y, size);
    context.fillStyle = Number.isNaN(value) ? palette.line : palette.heatOf(value);
    context.fillRect(x, y, size, size);
    if (this.isUnknown) this.stroke(x, y, size, palette.muted, [[0, 1, 1, 0]], 1);
    else if (level === 'warning') {
      context.fillStyle = palette.warning;
      context.beginPath();
      context.moveTo(x + size, y);
      context.lineTo(x + size, y + size * 0.62);
      context.lineTo(x + size * 0.38, y);
      context.fill();
      this.outline(x, y, size, palette.warning, 1);
    }
  }

  paintCritical(x, y, size) {
    const { context } = this;
    context.fillStyle = palette.critical;
    context.fillRect(x, y, size, size);
    // The worst has the highest contrast, in grey too.
    this.outline(x - 1, y - 1, size + 2, palette.text, 1.5);
    this.stroke(x, y, size, palette.criticalInk, [[0.22, 0.22, 0.78, 0.78], [0.78, 0.22, 0.22, 0.78]], Math.max(1.5, size / 7));
  }

  stroke(x, y, size, color, lines, width) {
    const { context } = this;
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    for (const [x0, y0, x1, y1] of lines) {
      context.moveTo(x + x0 * size, y + y0 * size);
      context.lineTo(x + x1 * size, y + y1 * size);
    }
    context.stroke();
  }

  outline(x, y, size, color, width) {
    this.context.strokeStyle = color;
    this.context.lineWidth = width;
    this.context.strokeRect(x + width / 2, y + width / 2, size - width, size - width);
  }

  mark(host) {
    if (this.marked === host) return;
    const before = this.indexOf.get(this.marked);
    this.marked = host;
    if (this.isWhole) return;
    if (before !== undefined && this.drawn.length > before) this.paintCell(before);
    const now = this.indexOf.get(host);
    if (now !== undefined && this.drawn.length > now) this.paintCell(now);
  }

  hostAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / this.pitch);
    if (column >= this.perRow) return null;
    return this.hosts[Math.floor((event.clientY - box.top) / this.pitch) * this.perRow + column] ?? null;
  }
}
