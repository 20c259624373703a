// A thousand hosts at 1 Hz: every frame of every host reaches the page, every row shows it, and the page keeps answering.
import { check, checkFaultless, checkFits, inkOf, picture, run, settings, text, waitForLink, watch } from './browser.mjs';

const TASK_MS_MAX = 500;

run(async (browser) => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1080 } });
  await context.addInitScript(observe);
  const page = await context.newPage();
  const watched = watch(page);
  await page.goto(`${settings.page}/`);
  await waitForLink(page, 'live');
  await page.waitForFunction((hosts) => document.querySelector('#strip-total').textContent === hosts, settings.hosts.toLocaleString('en-US'));
  await saysInsecure(page);
  check((await inkOf(page, '#heat-grid')) > 100, 'the heat grid is blank');

  await page.evaluate(() => globalThis.seen.clear());
  const startMs = Date.now();
  const rows = await everyRowMoves(page, startMs);
  const seconds = (Date.now() - startMs) / 1000;
  const frames = await framesTaken(page, seconds);
  await page.evaluate(() => scrollTo(0, 0));
  await picture(page, 'fleet-1000');
  const tasks = await page.evaluate(() => globalThis.longTasks);
  const longest = Math.max(0, ...tasks);
  check(longest <= TASK_MS_MAX, `the page stood still for ${longest} ms: ${tasks}`);
  check((await text(page, '#strip-up-count')) === settings.hosts.toLocaleString('en-US'), `${await text(page, '#strip-up-count')} hosts are said to be up`);
  await page.setViewportSize({ width: 380, height: 760 });
  await page.waitForFunction(() => document.querySelector('#table-body .row:not([hidden])').getBoundingClientRect().width <= innerWidth);
  await checkFits(page, 'a thousand hosts on a phone');
  await picture(page, 'fleet-1000-phone');
  checkFaultless(watched);
  return { rows, ...frames, seconds, long_tasks: tasks.length, longest_task_ms: longest };
});

// In the page, before anything else: tasks that kept it from answering, and the number of every frame that its stream
// brought, read beside the page from the same messages.
function observe() {
  globalThis.longTasks = [];
  globalThis.seen = new Map();
  new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((entry) => Math.round(entry.duration)))).observe({ type: 'longtask', buffered: true });
  const note = ({ data }) => {
    if (data.type !== 'event' || data.name !== 'frames') return;
    for (const [host, seq] of JSON.parse(data.text).rows) {
      if (!seen.has(host)) seen.set(host, []);
      seen.get(host).push(seq);
    }
  };
  globalThis.SharedWorker = class extends SharedWorker {
    constructor(...settings) {
      super(...settings);
      this.port.addEventListener('message', note);
    }
  };
}

async function saysInsecure(page) {
  const notice = page.locator('#notice-insecure');
  await notice.waitFor({ state: 'visible' });
  const words = await notice.textContent();
  check(/Insecure/.test(words) && /without encryption/.test(words) && /without a login/.test(words), `the notice says "${words}"`);
}

// Scrolls through the whole table; on each screen every row must show something new before the next.
async function everyRowMoves(page, startMs) {
  const seen = new Set();
  let isDown = true;
  while (seen.size < settings.hosts || Date.now() - startMs < settings.seconds * 1000) {
    for (const host of await page.evaluate(rowsMove)) seen.add(host);
    const isAtEnd = await page.evaluate((down) => {
      const before = scrollY;
      scrollBy(0, (down ? 1 : -1) * (innerHeight - 160));
      return scrollY === before;
    }, isDown);
    if (isAtEnd) {
      check(isDown === false || seen.size === settings.hosts, `only ${seen.size} hosts have a row`);
      isDown = !isDown;
    }
  }
  return seen.size;
}

// The hosts on the screen, once the load of each has changed on it.
function rowsMove() {
  return new Promise((resolve, reject) => {
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const shown = () => [...document.querySelectorAll('#table-body .row:not([hidden])')];
      const load = (row) => row.querySelector('[data-column=load] .number').textContent;
      const before = new Map(shown().map((row) => [row.dataset.host, load(row)]));
      const still = new Set(before.keys());
      const look = () => {
        for (const row of shown()) if (load(row) !== before.get(row.dataset.host)) still.delete(row.dataset.host);
        if (still.size > 0) return;
        observer.disconnect();
        clearTimeout(timer);
        resolve([...before.keys()]);
      };
      const observer = new MutationObserver(look);
      const timer = setTimeout(() => reject(new Error(`rows that stood still for 10 s: ${[...still]}`)), 10_000);
      observer.observe(document.querySelector('#table-body'), { subtree: true, characterData: true, childList: true });
    }));
  });
}

// One after the other without a hole, from every host, about one a second.
async function framesTaken(page, seconds) {
  const seen = await page.evaluate(() => [...globalThis.seen]);
  check(seen.length === settings.hosts, `frames came from ${seen.length} hosts`);
  let frames = 0;
  let fewest = Infinity;
  for (const [host, seqs] of seen) {
    const holes = seqs.filter((seq, i) => i > 0 && seq !== seqs[i - 1] + 1);
    check(holes.length === 0, `${host}: after a hole or again: frames ${holes}`);
    frames += seqs.length;
    fewest = Math.min(fewest, seqs.length);
  }
  check(fewest >= seconds * 0.9 - 2, `of a host only ${fewest} frames came in ${seconds} s`);
  return { frames, fewest };
}
