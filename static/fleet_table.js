// The table of hosts: as many rows as fit on the screen, moved over a body of full height, so that a thousand hosts cost
// no more than forty. The page itself scrolls. Rows are bound to hosts; their text nodes change, they are never rebuilt.
import { byId, make, setData } from './dom.js';
import { FleetRow, TABLE_COLUMNS } from './fleet_row.js';
import { palette } from './palette.js';
import { Sparklines } from './sparkline.js';

const FEW_HOSTS_MAX = 8;
const ROOMY_HOSTS_MAX = 30;
const OVERSCAN_ROWS = 3;

export class FleetTable {
  constructor(onSort, onOpen) {
    this.body = byId('table-body');
    this.rows = [];
    this.hosts = [];
    this.rowOf = new Map();
    this.marked = null;
    this.isMoved = true;
    this.heads = new Map();
    this.sparks = new Sparklines(this.body);
    this.buildHead(onSort);
    this.body.addEventListener('click', (event) => {
      const row = event.target.closest('[data-host]');
      if (row && !event.target.closest('a') && String(getSelection()) === '') onOpen(row.dataset.host);
    });
    const moved = () => {
      this.isMoved = true;
      this.onMoved?.();
    };
    addEventListener('scroll', moved, { passive: true });
    addEventListener('resize', moved);
    palette.onChange(() => {
      this.isRepaint = true;
    });
  }

  buildHead(onSort) {
    for (const { key, title, label } of TABLE_COLUMNS) {
      const head = make('div', `cell-${key}${key === 'name' || key === 'spark' ? ' left' : ''}`);
      head.setAttribute('role', 'columnheader');
      if (key === 'spark') {
        head.textContent = title;
      } else {
        const button = make('button', '', title);
        button.type = 'button';
        button.title = `Sort by ${label}`;
        button.setAttribute('aria-label', label);
        button.addEventListener('click', () => onSort(key));
        head.append(button);
        this.heads.set(key, head);
      }
      byId('table-head').append(head);
    }
  }

  showSort({ by, isDescending }) {
    for (const [key, head] of this.heads) {
      head.setAttribute('aria-sort', key === by ? (isDescending ? 'descending' : 'ascending') : 'none');
    }
  }

  setHosts(hosts) {
    this.hosts = hosts;
    this.isMoved = true;
    byId('host-table').setAttribute('aria-rowcount', String(hosts.length + 1));
  }

  isHeld() {
    return this.body.matches(':hover') || this.body.contains(document.activeElement);
  }

  measure() {
    const isPhone = innerWidth <= 900;
    this.rowPx = isPhone ? 52 : this.hosts.length <= FEW_HOSTS_MAX ? 60 : this.hosts.length <= ROOMY_HOSTS_MAX ? 38 : 29;
    document.documentElement.style.setProperty('--row-height', `${this.rowPx}px`);
    const height = `${this.hosts.length * this.rowPx}px`;
    if (this.body.style.height !== height) this.body.style.height = height;
  }

  paint(view) {
    const needsAll = this.isMoved || this.isRepaint || view.isWhole;
    if (this.isMoved || view.isWhole) this.place();
    for (const row of this.rows) {
      if (row.host === null) continue;
      const hasNews = needsAll || view.changedHosts.has(row.host);
      if (hasNews) row.paintValues();
      if (hasNews || view.isTick) row.paintState(view);
      if (hasNews || row.isSparkDue(view)) this.sparks.draw(row, view.serverNowMs);
    }
    this.isMoved = false;
    this.isRepaint = false;
  }

  // Binds the rows on the screen to their hosts. A host keeps its row while it stays visible.
  place() {
    this.measure();
    const topPx = -this.body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(topPx / this.rowPx) - OVERSCAN_ROWS);
    const last = Math.min(this.hosts.length, Math.ceil((topPx + innerHeight) / this.rowPx) + OVERSCAN_ROWS);
    const wanted = new Map();
    for (let i = first; i < last; i++) wanted.set(this.hosts[i], i);
    const free = [];
    for (const row of this.rows) {
      if (!wanted.has(row.host)) free.push(row);
    }
    this.rowOf = new Map(this.rows.filter((row) => wanted.has(row.host)).map((row) => [row.host, row]));
    for (const [host, index] of wanted) {
      let row = this.rowOf.get(host);
      if (!row) {
        row = free.pop() ?? this.addRow();
        row.bind(host);
        this.rowOf.set(host, row);
      }
      row.moveTo(index, this.rowPx);
      setData(row.element, 'marked', host === this.marked ? '' : null);
    }
    for (const row of free) row.bind(null);
    const anyRow = this.rowOf.values().next().value;
    if (anyRow) this.sparks.place(anyRow.cells.spark, first, last - first, this.rowPx);
  }

  addRow() {
    const row = new FleetRow();
    this.rows.push(row);
    this.body.append(row.element);
    return row;
  }

  mark(host) {
    if (this.marked === host) return;
    setData(this.rowOf.get(this.marked)?.element ?? this.body, 'marked', null);
    this.marked = host;
    const row = this.rowOf.get(host);
    if (row) setData(row.element, 'marked', '');
  }

  // Brings a host's row into view, below the strip and above the readout.
  reveal(host) {
    const index = this.hosts.indexOf(host);
    if (index < 0) return;
    const topPx = this.body.getBoundingClientRect().top + index * this.rowPx;
    const ceilingPx = byId('strip').offsetHeight + byId('table-head').offsetHeight;
    const floorPx = innerHeight - byId('readout').offsetHeight;
    if (topPx < ceilingPx) scrollBy(0, topPx - ceilingPx - 4);
    else if (topPx + this.rowPx > floorPx) scrollBy(0, topPx + this.rowPx - floorPx + 4);
  }
}
