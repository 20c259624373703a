// What the page costs its browser, in Debian's Chromium: node page_cost.mjs '{"url":..,"seconds":..,"loads":..}'
// Prints one line of JSON: times from navigation to the first values and the first charts, what a load fetches, and the
// share of time that the page's main thread is busy while it shows live data.
import { createRequire } from 'node:module';

// Browser tests and this share one locked installation.
const require = createRequire(new URL('../tests/page/package.json', import.meta.url));
const { chromium } = load('playwright-core');

const LIMIT_MS = 30_000;
const VIEWPORT = { width: 1440, height: 900 };

const { url, mark, seconds, loads, settleSeconds } = JSON.parse(process.argv[2]);

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  // As root there is no sandbox to be had, and nothing but our own page is opened.
  args: process.getuid() === 0 ? ['--no-sandbox'] : [],
});
try {
  const times = [];
  let fetched = null;
  for (let i = 0; i < loads; i++) {
    const load = await loadOnce();
    times.push(load.markMs);
    fetched = load.fetched;
  }
  console.log(JSON.stringify({ times, fetched, ...await watch() }));
} finally {
  await browser.close();
}

function load(name) {
  try {
    return require(name);
  } catch {
    console.error(`${name} is missing: 'bin/setup.sh bench' installs it`);
    process.exit(2);
  }
}

// A context of its own has an empty cache.
async function open() {
  const context = await browser.newContext({ viewport: VIEWPORT });
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  const session = await context.newCDPSession(page);
  return { context, page, session, errors };
}

async function loadOnce() {
  const { context, page, session } = await open();
  const fetched = { requests: 0, bytes: 0 };
  await session.send('Network.enable');
  session.on('Network.loadingFinished', ({ encodedDataLength }) => {
    fetched.requests += 1;
    fetched.bytes += encodedDataLength;
  });
  await page.goto(url, { waitUntil: 'commit', timeout: LIMIT_MS });
  await page.waitForFunction(marked, mark, { polling: 50, timeout: LIMIT_MS });
  const markMs = await page.evaluate(marked, mark);
  await context.close();
  return { markMs, fetched };
}

function marked(name) {
  return performance.getEntriesByName(name, 'mark')[0]?.startTime;
}

// The main thread's tasks, by Chromium's own count.
async function watch() {
  const { context, page, session, errors } = await open();
  await page.goto(url, { waitUntil: 'commit', timeout: LIMIT_MS });
  await page.waitForFunction(marked, mark, { polling: 50, timeout: LIMIT_MS });
  await page.waitForTimeout(settleSeconds * 1_000);
  await page.evaluate(() => {
    globalThis.longTasksMs = [];
    const note = (list) => globalThis.longTasksMs.push(...list.getEntries().map((entry) => entry.duration));
    new PerformanceObserver(note).observe({ type: 'longtask' });
  });
  await session.send('Performance.enable');
  const before = await taskSeconds(session);
  const slices = [];
  for (let i = 0, last = before; i < 6; i++) {
    await page.waitForTimeout((seconds / 6) * 1_000);
    const now = await taskSeconds(session);
    slices.push(((now.busy - last.busy) / (now.at - last.at)) * 100);
    last = now;
  }
  const after = await taskSeconds(session);
  const result = {
    busyPercent: ((after.busy - before.busy) / (after.at - before.at)) * 100,
    slices,
    heapBytes: after.heap,
    longTasksMs: await page.evaluate(() => globalThis.longTasksMs),
    drawn: await page.evaluate(() => Object.fromEntries(
      [...document.querySelectorAll('td[data-stage]')]
        .map((cell) => [`${cell.dataset.stage} ${cell.dataset.quantile}`, cell.textContent]))),
    errors,
  };
  await context.close();
  return result;
}

async function taskSeconds(session) {
  const { metrics } = await session.send('Performance.getMetrics');
  const of = (name) => metrics.find((metric) => metric.name === name).value;
  return { busy: of('TaskDuration'), at: of('Timestamp'), heap: of('JSHeapUsedSize') };
}
