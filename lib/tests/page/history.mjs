// Ninety days of a host that is alive: out to where one second shows as a spike, in to that second, along the past and back
// to live, by mouse, keys, fingers and address; gaps, what is exported, and what a link to it shows.
//
// settings: host; spike_ms: the second at which it was busy; gap: [from, to] without frames, in ms, days ago.
import { readFile } from 'node:fs/promises';
import { check, checkFaultless, checkFits, picture, run, settings, text, waitForChange, waitForLink, watch } from './browser.mjs';

const { host, spike_ms: spikeMs, gap } = settings;
const DAY_MS = 86_400_000;
const DESKTOP = { width: 1440, height: 900 };
const PHONE = { viewport: { width: 380, height: 760 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const BUSY_PERCENT = 90;
const CPU = '#chart-cpu';
const OVER = `${CPU} .u-over`;

run(async (browser) => {
  const context = await browser.newContext({ viewport: DESKTOP, acceptDownloads: true });
  const page = await context.newPage();
  const watched = watch(page);
  const report = { first_answer_ms: await opens(page) };
  await spikeIsSeen(page, 'ninety days');
  await picture(page, 'history-90d');
  report.zooms = await zoomsIntoSpike(page);
  await goesBackAndForth(page);
  await linkShowsTheSame(context, page);
  await gapIsAGap(page);
  await exportsWhatIsSeen(page);
  await keysMove(page);
  await edgeHasNoSeam(page);
  for (const theme of ['light', 'dark']) await picturesOf(page, theme);
  await fingersMove(browser);
  checkFaultless(watched);
  return report;
});

async function opens(page) {
  await page.goto(`${settings.page}/#/host/${host}?window=90d`);
  await waitForLink(page, 'live');
  const startMs = Date.now();
  await isRead(page);
  return Date.now() - startMs;
}

// All that is seen has been answered: the note says how wide a point is, and nothing else.
function isRead(page) {
  return page.waitForFunction((of) => /^\d+ (s|min|h)( \d+ (s|min))? per point$/.test(document.querySelector(of).textContent), `${CPU} .chart-note`, { timeout: 20_000 });
}

async function spikeIsSeen(page, where) {
  await page.waitForFunction(([of, least]) => parseFloat(document.querySelector(of).textContent) >= least, [`${CPU} .peak-value`, BUSY_PERCENT])
    .catch(async () => check(false, `${where}: the largest CPU usage is said to be ${await text(page, `${CPU} .peak-value`)}`));
  const share = await page.evaluate(inkAtTop, [CPU, spikeMs]);
  check(share > 0, `${where}: nothing is drawn where the second was`);
}

// How many pixels of the uppermost tenth of a plot differ from those a little beside a moment.
function inkAtTop([of, timeMs]) {
  const canvas = document.querySelector(`${of} canvas`);
  const over = document.querySelector(`${of} .u-over`);
  const [hash, ratio] = [new URLSearchParams(location.hash.split('?')[1]), devicePixelRatio];
  const windows = { '90d': 90 * 86_400_000 };
  const toMs = Number(hash.get('to') ?? Date.now());
  const fromMs = Number(hash.get('from') ?? toMs - windows[hash.get('window')]);
  const at = over.offsetLeft + ((timeMs - fromMs) / (toMs - fromMs)) * over.clientWidth;
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const ink = (left, right) => {
    const { data } = copy.getImageData(left * ratio, (over.offsetTop + over.clientHeight * 0.03) * ratio, Math.max(1, (right - left) * ratio), Math.max(1, over.clientHeight * 0.1 * ratio));
    let inked = 0;
    for (let byte = 3; byte < data.length; byte += 4) if (data[byte] > 0) inked += 1;
    return inked;
  };
  // A point of the coarsest kept resolution, a minute, stands in its middle.
  const near = 5 + (over.clientWidth * 60_000) / (toMs - fromMs);
  return ink(at - near, at + near) - ink(at + near + 2, at + 3 * near + 2);
}

// Drags a stretch around the second, again and again, until a point is as fine as history still has it.
async function zoomsIntoSpike(page) {
  let [fromMs, toMs] = [Date.now() - 90 * DAY_MS, Date.now()];
  const widths = [];
  for (let zooms = 0; toMs - fromMs > 20 * 60_000; zooms++) {
    check(zooms < 12, `a dozen zooms, and still ${toMs - fromMs} ms are seen`);
    const box = await plotBox(page);
    const x = box.x + ((spikeMs - fromMs) / (toMs - fromMs)) * box.width;
    const [left, right] = [Math.max(box.x + 2, x - box.width / 16), Math.min(box.x + box.width - 2, x + box.width / 16)];
    const before = await page.evaluate(() => location.hash);
    await page.mouse.move(left, box.y + 30);
    await page.mouse.down();
    await page.mouse.move(right, box.y + 30, { steps: 4 });
    // The marked stretch is shown on every chart.
    await page.waitForFunction(() => document.querySelector('#chart-memory .u-select').clientWidth > 20);
    await page.mouse.up();
    await page.mouse.move(5, 300);
    await page.waitForFunction((before) => location.hash !== before && /from=\d+&to=\d+/.test(location.hash), before);
    [fromMs, toMs] = await seenRange(page);
    check(fromMs < spikeMs && toMs > spikeMs, `the second ${spikeMs} is not in ${fromMs} to ${toMs}`);
    await isRead(page);
    await spikeIsSeen(page, `zoom ${zooms + 1}`);
    check(/^paused, \d+ d \d+ h behind/.test((await text(page, '#pause-bar')).trim()), `the pause says "${await text(page, '#pause-bar')}"`);
    widths.push(await text(page, `${CPU} .chart-note`));
  }
  await picture(page, 'history-spike');
  return widths;
}

function seenRange(page) {
  return page.evaluate(() => ['from', 'to'].map((name) => Number(new URLSearchParams(location.hash.split('?')[1]).get(name))));
}

async function goesBackAndForth(page) {
  const [fromMs, toMs] = await seenRange(page);
  await page.goBack();
  await page.waitForFunction((old) => !location.hash.includes(old), String(fromMs));
  // What was seen before is here already: no moment without it.
  check(/per point$/.test(await text(page, `${CPU} .chart-note`)), `on the way back the note says "${await text(page, `${CPU} .chart-note`)}"`);
  await page.goForward();
  await page.waitForFunction((ends) => location.hash.includes(ends), `from=${fromMs}&to=${toMs}`);
  await page.keyboard.press('g');
  await page.waitForFunction(() => document.querySelector('#pause-bar').hidden);
  await waitForChange(page, `${CPU} .legend-value`);
  await page.goBack();
  await page.waitForFunction(() => !document.querySelector('#pause-bar').hidden);
}

async function linkShowsTheSame(context, page) {
  await page.keyboard.press('y');
  await page.waitForFunction(() => document.querySelector('#copy-link').textContent === 'Link copied');
  const other = await context.newPage();
  const watched = watch(other);
  await other.goto(page.url());
  await waitForLink(other, 'live');
  await isRead(other);
  check((await text(other, '#range-text')) === (await text(page, '#range-text')), `a link shows ${await text(other, '#range-text')}, not ${await text(page, '#range-text')}`);
  await spikeIsSeen(other, 'by a link');
  checkFaultless(watched);
  await other.close();
  await page.bringToFront();
}

async function gapIsAGap(page) {
  const [gapFromMs, gapToMs] = gap;
  const spanMs = gapToMs - gapFromMs;
  const before = await text(page, '#range-text');
  await page.evaluate((hash) => { location.hash = hash; }, `#/host/${host}?from=${gapFromMs - spanMs}&to=${gapToMs + spanMs}`);
  await page.waitForFunction((before) => document.querySelector('#range-text').textContent !== before, before);
  await isRead(page);
  await valueAt(page, 0.15, /\d/);
  await valueAt(page, 0.5, /^–$/);
  await valueAt(page, 0.85, /\d/);
  await page.mouse.move(5, 300);
  await picture(page, 'history-gap');
}

// Where the plot of the CPU is; it may be made anew just now.
async function plotBox(page) {
  let box = null;
  while (box === null) box = await page.locator(OVER).boundingBox();
  return box;
}

// The load under the crosshair, at a share of the width, must look like `expected`.
async function valueAt(page, share, expected) {
  const box = await plotBox(page);
  await page.mouse.move(box.x + box.width * share, box.y + 30);
  await page.waitForFunction(([source]) => [...document.querySelectorAll('.chart-tip')].some((tip) => !tip.hidden)
    && new RegExp(source).test(document.querySelector('#chart-load .legend-value').textContent), [expected.source], { timeout: 5_000 })
    .catch(async () => check(false, `at ${Math.round(share * 100)} % of ${await text(page, '#range-text')} the load is "${await text(page, '#chart-load .legend-value')}", expected ${expected}`));
}

async function exportsWhatIsSeen(page) {
  const [fromMs, toMs] = await seenRange(page);
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#csv')]);
  check(download.suggestedFilename().includes(host) && download.suggestedFilename().endsWith('.csv'), `the file is called ${download.suggestedFilename()}`);
  const [head, ...rows] = (await readFile(await download.path(), 'utf8')).trim().split(/\r?\n/);
  check(head === 'time,host,metric,labels,min,mean,max', `the first line is ${head}`);
  const times = rows.map((row) => Date.parse(row.split(',')[0]));
  check(rows.length > 100 && rows.some((row) => row.includes(',cpu_usage_percent,')), `${rows.length} rows, without the CPU`);
  const outside = times.filter((timeMs) => !(timeMs >= fromMs - (toMs - fromMs) / 50 && timeMs < toMs));
  check(outside.length === 0, `${outside.length} rows are not of what is seen`);
}

async function keysMove(page) {
  await page.keyboard.press('g');
  await page.waitForFunction(() => document.querySelector('#pause-bar').hidden);
  const says = async (key, words) => {
    await page.keyboard.press(key);
    await page.waitForFunction((wanted) => new RegExp(wanted).test(document.querySelector('#range-text').textContent), words)
      .catch(async () => check(false, `after ${key} the range is "${await text(page, '#range-text')}", expected ${words}`));
  };
  await page.click('[data-window="1h"]');
  await says(']', '^last 6 h$');
  await says('[', '^last 1 h$');
  await says('-', '^last 2 h$');
  await says('+', '^last 1 h$');
  await says('ArrowLeft', '– .*\\(1 h\\)$');
  await says('ArrowRight', '^last 1 h$');
  await says(' ', '– .*\\(1 h\\)$');
  await says('Escape', '^last 1 h$');
  const box = await plotBox(page);
  await page.mouse.move(box.x + box.width / 2, box.y + 30);
  await page.keyboard.down('Control');
  await page.mouse.wheel(0, 100);
  await page.keyboard.up('Control');
  await page.waitForFunction(() => document.querySelector('#range-text').textContent !== 'last 1 h');
  // The plain wheel is the page's.
  const before = await text(page, '#range-text');
  await page.mouse.wheel(0, 120);
  await page.waitForFunction(() => scrollY > 0);
  check((await text(page, '#range-text')) === before, 'the plain wheel has moved the time');
  await page.evaluate(() => scrollTo(0, 0));
  await page.keyboard.press('g');
}

// One line from history into the live window: values all along the last half hour, and it lives. The last minutes are
// those in which the test's own programs started.
async function edgeHasNoSeam(page) {
  await page.click('[data-window="1h"]');
  await isRead(page);
  for (let share = 0.5; share < 0.96; share += 0.02) await valueAt(page, share, /\d/);
  await page.mouse.move(5, 300);
  await waitForChange(page, `${CPU} .legend-value`);
}

async function picturesOf(page, theme) {
  await page.emulateMedia({ colorScheme: theme });
  for (const window of ['1h', '24h', '90d']) {
    await page.click(`[data-window="${window}"]`);
    await isRead(page);
    await picture(page, `history-${window}-${theme}`);
  }
}

// A swipe sideways pans, two fingers zoom, an upright swipe scrolls the page.
async function fingersMove(browser) {
  const context = await browser.newContext(PHONE);
  const page = await context.newPage();
  const watched = watch(page);
  await page.goto(`${settings.page}/#/host/${host}?window=24h`);
  await waitForLink(page, 'live');
  await isRead(page);
  await checkFits(page, 'a day on a phone');
  const box = await plotBox(page);
  const device = await context.newCDPSession(page);
  const touch = (type, xs) => device.send('Input.dispatchTouchEvent', { type, touchPoints: xs.map((x, id) => ({ x: box.x + x, y: box.y + 40, id })) });
  await touch('touchStart', [80]);
  for (let x = 80; x <= 180; x += 10) await touch('touchMove', [x]);
  await touch('touchEnd', []);
  await page.waitForFunction(() => /\(24 h\)$/.test(document.querySelector('#range-text').textContent));
  check(!(await page.isHidden('#pause-bar')), 'a swipe into the past pauses');
  await touch('touchStart', [90, 150]);
  for (let by = 0; by <= 60; by += 6) await touch('touchMove', [90 - by, 150 + by]);
  await touch('touchEnd', []);
  await page.waitForFunction(() => /\([6-9] h( \d+ min)?\)$/.test(document.querySelector('#range-text').textContent));
  const seen = await text(page, '#range-text');
  await device.send('Input.synthesizeScrollGesture', { x: box.x + 100, y: box.y + 40, yDistance: -150, speed: 800 });
  check((await page.evaluate(() => scrollY)) > 50, 'an upright swipe over a chart does not scroll');
  check((await text(page, '#range-text')) === seen, 'an upright swipe has moved the time');
  await checkFits(page, 'the past on a phone');
  await picture(page, 'history-phone');
  await page.evaluate(() => scrollTo(0, 0));
  await page.tap('#go-live');
  await page.waitForFunction(() => document.querySelector('#pause-bar').hidden);
  checkFaultless(watched);
  await context.close();
}
