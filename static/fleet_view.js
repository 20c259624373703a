// The fleet: what needs attention (pinned, worst first), the heat grid, and the table.
import { byId, make, makeIcon, setData, setIcon, setText } from './dom.js';
import { FleetGrid } from './fleet_grid.js';
import { FleetTable } from './fleet_table.js';
import { clockText, quantityText, wholeText } from './format.js';
import { requestPaint } from './frame.js';
import { sinceText } from './health.js';
import { HostOrder } from './host_order.js';
import { COLUMN } from './store.js';

const GRID_HOSTS_MIN = 25;
const ISSUES_SHOWN_MAX = 5;
const FEW_HOSTS = 2;

export class FleetView {
  constructor(openHost) {
    this.openHost = openHost;
    this.order = new HostOrder();
    this.table = new FleetTable((by) => this.sortBy(by), openHost);
    this.table.onMoved = requestPaint;
    this.grid = new FleetGrid(byId('heat-grid'), (host) => openHost(host.name), (host) => this.hover(host));
    this.gridBy = 'cpu';
    this.hovered = null;
    this.issueRows = [];
    this.buildAttention();
    this.buildFoot();
    for (const button of document.querySelectorAll('[data-grid-by]')) {
      button.addEventListener('click', () => this.colourBy(button.dataset.gridBy));
    }
  }

  buildAttention() {
    this.attentionTitle = make('h2');
    this.attentionList = make('ul');
    this.attentionMore = make('p', 'attention-more');
    byId('attention').append(this.attentionTitle, this.attentionList, this.attentionMore);
  }

  buildFoot() {
    this.footText = document.createTextNode('');
    this.sortButton = make('button', '', 'sort now');
    this.sortButton.type = 'button';
    this.sortButton.id = 'sort-now';
    this.sortButton.addEventListener('click', () => this.sortNow());
    byId('table-foot').append(this.footText, this.sortButton);
  }

  sortBy(by) {
    this.order.sortBy(by);
    requestPaint();
  }

  sortNow() {
    this.order.sortNow();
    requestPaint();
  }

  colourBy(by) {
    this.gridBy = by;
    for (const button of document.querySelectorAll('[data-grid-by]')) {
      button.setAttribute('aria-pressed', String(button.dataset.gridBy === by));
    }
    this.grid.setColumn(by === 'cpu' ? COLUMN.cpu : COLUMN.memoryPercent);
    requestPaint();
  }

  hover(host) {
    this.hovered = host;
    requestPaint();
  }

  // The marked host moves by keys; Enter opens it.
  moveMark(step) {
    const { visible } = this.order;
    if (visible.length === 0) return;
    const at = visible.indexOf(this.table.marked);
    const next = visible[Math.max(0, Math.min(visible.length - 1, at < 0 ? 0 : at + step))];
    this.table.mark(next);
    this.grid.mark(next);
    this.table.reveal(next);
    requestPaint();
  }

  openMarked() {
    if (this.table.marked) this.openHost(this.table.marked.name);
  }

  // The host after or before a named one, in the order shown.
  neighbour(name, step) {
    const { visible } = this.order;
    const at = visible.findIndex((host) => host.name === name);
    return visible[at + step]?.name ?? null;
  }

  update(view) {
    this.order.setFilter(view.route.filter);
    const isChanged = this.order.update(view.hosts, view.isListChanged, this.table.isHeld(), view.nowMs);
    if (!isChanged) return;
    this.table.setHosts(this.order.visible);
    this.table.showSort(this.order.sort);
    this.grid.setHosts(this.order.visible);
  }

  paint(view) {
    const isGridShown = view.hosts.size >= GRID_HOSTS_MIN;
    byId('grid-section').hidden = !isGridShown;
    this.paintAttention(view);
    if (isGridShown) {
      this.paintCaption();
      this.grid.paint(view.changedHosts, view.isUnknown, view.isTick);
    }
    this.table.paint(view);
    this.paintFoot(view);
  }

  paintCaption() {
    const caption = byId('grid-caption');
    const { hovered } = this;
    if (hovered) {
      const cpu = quantityText(hovered.values[COLUMN.cpu], 'percent');
      const memory = quantityText(hovered.values[COLUMN.memoryPercent], 'percent');
      return setText(caption, `${hovered.name}: CPU ${cpu}, memory ${memory}${hovered.health.text ? `, ${hovered.health.text}` : ''}`);
    }
    const worst = (column) => {
      let found = null;
      for (const host of this.order.visible) if (host.values[column] > (found?.values[column] ?? -1)) found = host;
      return found ? `${found.name} ${quantityText(found.values[column], 'percent')}` : '–';
    };
    setText(caption, `Highest CPU ${worst(COLUMN.cpu)} · highest memory ${worst(COLUMN.memoryPercent)}`);
  }

  paintAttention(view) {
    const { issues } = view.judged;
    const section = byId('attention');
    section.hidden = issues.length === 0 || view.isUnknown;
    if (section.hidden) return;
    const shown = issues.slice(0, ISSUES_SHOWN_MAX);
    setText(this.attentionTitle, `Needs attention: ${wholeText(issues.length)}`);
    while (this.issueRows.length < shown.length) this.issueRows.push(this.addIssue());
    this.issueRows.forEach((row, i) => paintIssue(row, shown[i], view.nowMs));
    const more = issues.length - shown.length;
    this.attentionMore.hidden = more <= 0;
    setText(this.attentionMore, `and ${wholeText(more)} more; sort the table by state to see all`);
  }

  addIssue() {
    const row = { element: make('li', 'issue'), icon: makeIcon('critical'), level: make('span'), link: make('a', 'issue-host'), what: make('span', 'issue-what'), since: make('span', 'issue-since number') };
    const level = make('span', 'issue-level');
    level.append(row.icon, row.level);
    row.element.append(level, row.link, row.what, row.since);
    this.attentionList.append(row.element);
    return row;
  }

  paintFoot(view) {
    const { order } = this;
    const total = view.hosts.size;
    let text = total === 0 ? 'No host yet. Start monitor-client on one: it shows here with its first frame.' : '';
    if (total > 0 && total <= FEW_HOSTS) text = 'Open a host for its charts. To add one, run monitor-client there.';
    if (order.filter) {
      const up = order.visible.filter((host) => host.health.kind !== 'silent' && host.health.kind !== 'ended').length;
      text = `${wholeText(order.visible.length)} of ${wholeText(total)} hosts match “${order.filter}”, ${view.isUnknown ? '?' : wholeText(up)} up`;
    }
    this.sortButton.hidden = !order.isLive();
    if (order.isLive()) text += `${text ? ' · ' : ''}sorted at ${clockText(order.sortedUnixMs)}, again every 10 s unless the pointer is in the table`;
    if (this.footText.data !== text) this.footText.data = text;
  }
}

function paintIssue(row, host, nowMs) {
  row.element.hidden = host === undefined;
  if (host === undefined) return;
  const { level, text } = host.health;
  setData(row.element, 'level', level);
  setData(row.element, 'host', host.name);
  setIcon(row.icon, level);
  setText(row.level, level);
  setText(row.link, host.name);
  row.link.href = `#/host/${encodeURIComponent(host.name)}`;
  setText(row.what, text);
  setText(row.since, `for ${sinceText(host, nowMs)}`);
}
