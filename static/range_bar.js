// The bar above a host's charts: a button for each window, the stretch of time that is seen, the same as CSV, and a link
// to exactly this. And below: that the picture is paused, how far behind now it is, and the way back.
import { byId, setData, setText } from './dom.js';
import { durationText } from './format.js';
import { queryAddress } from './history_plan.js';
import { CHARTED_METRICS } from './host_charts.js';
import { rangeText, spanOfAddress, spanText } from './time_text.js';

const POINTS_MAX = 10_000;
const SAID_FOR_MS = 2_500;
const UNKEPT = 'Older than 15 minutes is not kept: the server was started without --data';

export class RangeBar {
  // linkOf(range): the address of exactly that stretch.
  constructor(timeRange, linkOf) {
    this.timeRange = timeRange;
    this.linkOf = linkOf;
    this.csv = null;
    this.buttons = [...document.querySelectorAll('[data-window]')];
    for (const button of this.buttons) {
      button.addEventListener('click', ({ detail }) => {
        timeRange.setSpan(spanOfAddress(button.dataset.window));
        // Clicked by a pointer it must not keep Space, which pauses.
        if (detail > 0) button.blur();
      });
    }
    byId('csv').addEventListener('click', () => this.aimCsv());
    byId('copy-link').addEventListener('click', () => this.copyLink());
  }

  // `seen`: the range; `stepMs`: how wide a point is on the charts.
  paint(host, seen, stepMs, history) {
    this.csv = { host, seen, stepMs };
    for (const button of this.buttons) {
      button.setAttribute('aria-pressed', String(spanOfAddress(button.dataset.window) === seen.spanMs));
    }
    setData(byId('range-bar'), 'past', seen.isLive ? null : '');
    setText(byId('range-text'), seen.isLive ? `last ${spanText(seen.spanMs)}` : `${rangeText(seen.fromMs, seen.toMs)} (${spanText(seen.spanMs)})`);
    const isUnkept = history?.state === 'off';
    byId('range-hint').hidden = !isUnkept;
    byId('window-choice').title = isUnkept ? UNKEPT : '';
    this.aimCsv();
  }

  // The address of what is seen at this moment, no finer than it is seen.
  aimCsv() {
    const { host, seen: { fromMs, toMs, spanMs }, stepMs } = this.csv;
    const points = Math.min(POINTS_MAX, Math.max(1, Math.ceil(spanMs / stepMs)));
    const link = byId('csv');
    link.href = queryAddress(host, CHARTED_METRICS, { fromMs, toMs, points, format: 'csv' });
    link.download = `${host}_${new Date(fromMs).toISOString().slice(0, 19).replaceAll(':', '')}Z_${spanText(spanMs).replaceAll(' ', '')}.csv`;
  }

  async copyLink() {
    const isCopied = await copyText(this.linkOf(this.timeRange.last));
    const words = isCopied ? 'Link copied' : 'This browser copies nothing from here: pause, and take the address';
    setText(byId('copy-link'), words);
    byId('announcer').textContent = words;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => setText(byId('copy-link'), 'Copy link'), SAID_FOR_MS);
  }
}

export function paintPause(behindMs) {
  byId('pause-bar').hidden = behindMs === null;
  if (behindMs !== null) setText(byId('pause-age'), durationText(behindMs));
}

// Browsers give the clipboard only to pages over TLS and on this machine; the old way works elsewhere.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'visually-hidden';
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand('copy');
    area.remove();
    return isCopied;
  }
}
