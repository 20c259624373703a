// The strip answers at a glance: how many hosts are up, how many are bad, which is worst and since when, and whether this
// page is live. Below it the notices (in words, as long as they hold); beside it the tab's title and icon.
import { byId, make, makeIcon, setData, setIcon, setText } from './dom.js';
import { durationText, latencyText, plural, wholeText } from './format.js';
import { issueText } from './health.js';

const LINK_WORDS = {
  connecting: 'connecting', live: 'live', late: 'late', stale: 'no data', lost: 'disconnected', asleep: 'asleep',
};
const LINK_ICONS = { connecting: 'unknown', live: 'ok', late: 'warning', stale: 'lost', lost: 'lost', asleep: 'unknown' };

export class Strip {
  constructor() {
    this.notices = new Map();
    this.said = new Map();
    this.lastFavicon = '';
    this.worstLink = make('a');
    this.worstText = document.createTextNode('');
    byId('strip-worst').append(this.worstLink, this.worstText);
    const fit = () => document.documentElement.style.setProperty('--strip-height', `${byId('strip').offsetHeight}px`);
    new ResizeObserver(fit).observe(byId('strip'));
  }

  paint(view) {
    this.paintLink(view);
    this.paintCounts(view);
    this.paintNotices(view);
    this.paintTab(view);
    this.announceChanges(view);
  }

  paintLink({ link, drawn }) {
    setData(document.body, 'link', link.state);
    setIcon(byId('strip-link-icon'), LINK_ICONS[link.state]);
    setText(byId('strip-link-word'), LINK_WORDS[link.state]);
    const isFresh = link.state === 'live' || link.state === 'connecting';
    const latency = drawn.total ? `${(drawn.total.p50_ms / 1000).toFixed(drawn.total.p50_ms < 10 ? 3 : 2)} s` : '';
    setText(byId('strip-link-age'), isFresh ? latency : durationText(link.silentMs));
    byId('strip-link').title = isFresh
      ? `from sample to screen, median of the last minute${drawn.total ? `: ${latencyText(drawn.total.p50_ms)}` : ''}`
      : `time since the last event from the server: ${link.reason ?? ''}`;
  }

  paintCounts({ judged, isUnknown, hasData, nowMs, link }) {
    const { counts, issues } = judged;
    setText(byId('strip-up-count'), isUnknown || !hasData ? '?' : wholeText(counts.up));
    setText(byId('strip-total'), hasData ? wholeText(counts.total) : '–');
    const bad = byId('strip-bad');
    const level = isUnknown || !hasData ? 'unknown' : counts.critical > 0 ? 'critical' : counts.warning > 0 ? 'warning' : 'ok';
    setData(bad, 'level', level);
    setText(bad, badText(level, counts));
    const worst = isUnknown ? null : issues[0];
    if (!worst) {
      this.worstLink.textContent = '';
      this.worstText.data = isUnknown && hasData ? `states are unknown: last heard ${durationText(link.silentMs)} ago` : '';
      return;
    }
    setText(this.worstLink, worst.name);
    this.worstLink.href = `#/host/${encodeURIComponent(worst.name)}`;
    this.worstText.data = ` ${issueText(worst, nowMs)}`;
  }

  paintNotices({ link, server, isUnknown }) {
    const wanted = new Map();
    if (link.state === 'lost' || link.state === 'stale') {
      wanted.set('link', ['critical', 'lost', 'Disconnected from the server', `${link.reason}; last event ${durationText(link.silentMs)} ago. Every value below is old. Reconnecting by itself.`]);
    }
    // What a lost server last said about the bus is as old as everything else.
    const bus = isUnknown ? null : server.bus;
    if (bus?.state === 'down') wanted.set('bus', ['critical', 'critical', 'The bus is down', `${bus.detail ?? 'no detail given'}. Nothing new can arrive until it is back.`]);
    if (bus?.state === 'catching up') {
      const behind = bus.behind_s ? `${durationText(bus.behind_s * 1000)} behind. ` : '';
      wanted.set('bus', ['warning', 'warning', 'Catching up', `${behind}${bus.detail ?? 'Values are those of then, not of now.'}`]);
    }
    const history = isUnknown ? null : server.history;
    if (history?.state === 'behind') {
      const behind = history.behind_s ? `${durationText(history.behind_s * 1000)} are not written down yet. ` : '';
      wanted.set('history', ['warning', 'warning', 'History is behind', `${behind}${history.detail ?? 'No reason is given.'}`]);
    }
    if (server.insecure) wanted.set('insecure', ['warning', 'warning', 'Insecure', 'this page is served beyond this machine without encryption and without a login: everyone on the network can read it.']);
    for (const [key, element] of this.notices) {
      if (wanted.has(key)) continue;
      element.remove();
      this.notices.delete(key);
    }
    for (const [key, [level, icon, title, text]] of wanted) this.notice(key, level, icon, title, text);
  }

  notice(key, level, icon, title, text) {
    let element = this.notices.get(key);
    if (!element) {
      element = make('p', 'notice');
      element.id = `notice-${key}`;
      const words = make('span');
      words.append(make('b'), document.createTextNode(''));
      element.append(makeIcon(icon), words);
      // What is lost stands above what is wrong.
      if (key === 'link') byId('notices').prepend(element);
      else byId('notices').append(element);
      this.notices.set(key, element);
    }
    setData(element, 'level', level);
    setIcon(element.firstElementChild, icon);
    const words = element.lastElementChild;
    setText(words.firstElementChild, title);
    words.lastChild.data = `: ${text}`;
  }

  paintTab({ link, judged, isUnknown, hasData, route }) {
    const { counts } = judged;
    const place = route.host ? `${route.host} · Realtime Monitor` : 'Realtime Monitor';
    let state = 'unknown';
    let title = place;
    if (link.state === 'asleep') title = `asleep · ${place}`;
    else if (isUnknown) title = `no data ${durationText(link.silentMs)} · ${place}`;
    else if (hasData) {
      state = counts.critical > 0 ? 'critical' : counts.warning > 0 ? 'warning' : 'ok';
      title = `${counts.critical > 0 ? `${counts.critical} critical, ` : ''}${counts.up}/${counts.total} up · ${place}`;
    }
    if (document.title !== title) document.title = title;
    if (state !== this.lastFavicon) byId('favicon').href = `data:image/svg+xml,${encodeURIComponent(FAVICONS[state])}`;
    this.lastFavicon = state;
  }

  // For screen readers: changes of state only, never values.
  announceChanges({ link, judged, isUnknown }) {
    const isDown = link.state === 'lost' || link.state === 'stale';
    this.announce('link', isDown ? 'Disconnected from the server, values are old.' : 'Live.', link.state === 'live' || isDown);
    if (!isUnknown) this.announce('bad', badText(judged.counts.critical > 0 ? 'critical' : 'ok', judged.counts), true);
  }

  announce(key, text, isSettled) {
    if (!isSettled || this.said.get(key) === text) return;
    const isFirst = !this.said.has(key);
    this.said.set(key, text);
    if (!isFirst) byId('announcer').textContent = text;
  }
}

function badText(level, counts) {
  if (level === 'unknown') return 'unknown';
  const parts = [];
  if (counts.critical > 0) parts.push(`${wholeText(counts.critical)} critical`);
  if (counts.warning > 0) parts.push(plural(counts.warning, 'warning', 'warnings'));
  if (counts.ended > 0) parts.push(`${wholeText(counts.ended)} ended`);
  return parts.length === 0 ? 'none bad' : parts.join(', ');
}

// Shape as well as colour: a disc, a triangle, an octagon, a broken ring.
const icon = (inner) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${inner}</svg>`;
const FAVICONS = {
  ok: icon('<circle cx="8" cy="8" r="7" fill="#2f8fc4"/><path d="M2 9h3l1.500-4 3 6 1.500-3H14" fill="none" stroke="#fff" stroke-width="1.500"/>'),
  warning: icon('<path d="M8 0 16 15H0Z" fill="#e0a020"/><path d="M7 5h2v5H7zM7 11.500h2v2H7z" fill="#1a1200"/>'),
  critical: icon('<path d="M5 0h6l5 5v6l-5 5H5l-5-5V5Z" fill="#d0131f"/><path d="m5 5 6 6m0-6-6 6" stroke="#fff" stroke-width="2.200"/>'),
  unknown: icon('<circle cx="8" cy="8" r="6" fill="none" stroke="#8b96a3" stroke-width="2.500" stroke-dasharray="4 3"/><path d="m2 2 12 12" stroke="#8b96a3" stroke-width="2"/>'),
};
