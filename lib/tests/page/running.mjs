// A running system: fleet and host page, live, by mouse, keys and address; sizes and colours; nothing done wrong.
import { check, checkFaultless, checkFits, inkOf, picture, run, settings, text, texts, waitForChange, waitForLink, watch } from './browser.mjs';

const REQUESTS_MAX = 10;
const COMPRESSED_BYTES_MAX = 100 * 1024;
const DESKTOP = { width: 1440, height: 900 };
const PHONE = { viewport: { width: 380, height: 760 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
// The shared worker's script and its stream: no page sees them among its own requests.
const WORKER_REQUESTS = 2;
const { steady, hosts } = settings;
const startedMs = Date.now();
const row = (host) => `#table-body .row[data-host="${host}"]`;

run(async (browser) => {
  const context = await browser.newContext({ viewport: DESKTOP });
  const page = await context.newPage();
  const watched = watch(page);
  const report = {};

  report.load = await hostPageLoadsLight(page, watched);
  await chartsDrawAndMove(page);
  await crosshairIsInStep(page);
  await windowAndBack(page);
  await fleetMoves(page);
  await keysWork(page);
  report.tabs = await sevenTabsAreLive(context);
  await fitsEveryWidth(page);
  await picturesOf(browser, page);
  checkFaultless(watched);
  return report;
});

// A host's address, opened by itself, in a browser that has never been here.
async function hostPageLoadsLight(page, watched) {
  await page.goto(`${settings.page}/#/host/${settings.own}`);
  await waitForLink(page, 'live');
  await page.waitForFunction(() => performance.getEntriesByName('first-charts').length > 0);
  const { bytes, values, charts, names } = await page.evaluate(async () => {
    const resources = performance.getEntriesByType('resource');
    const all = [...performance.getEntriesByType('navigation'), ...resources];
    // The worker's script as well, though the page does not see it being fetched.
    performance.clearResourceTimings();
    await (await fetch('/static/stream_worker.js', { cache: 'reload' })).text();
    const worker = performance.getEntriesByType('resource').filter((entry) => entry.name.endsWith('stream_worker.js'));
    return {
      bytes: [...all, ...worker].reduce((sum, entry) => sum + entry.transferSize, 0),
      names: all.map((entry) => entry.name),
      values: performance.getEntriesByName('first-values')[0].startTime,
      charts: performance.getEntriesByName('first-charts')[0].startTime,
    };
  });
  const requests = watched.requests.filter((url) => !url.startsWith('data:') && !url.includes('stream_worker')).length + WORKER_REQUESTS;
  check(requests <= REQUESTS_MAX, `${requests} requests to show a host: ${names}`);
  check(bytes <= COMPRESSED_BYTES_MAX, `${bytes} bytes to show a host: ${names}`);
  return { requests, bytes, first_values_ms: Math.round(values), first_charts_ms: Math.round(charts) };
}

async function chartsDrawAndMove(page) {
  // Two seconds of life give every rate a line; what a host does not send says so in words.
  await page.waitForFunction(() => document.querySelectorAll('#charts .chart:not([hidden]) canvas').length >= 6);
  await page.waitForFunction(() => /\d/.test(document.querySelector('#chart-cpu [data-series="user"] .legend-value')?.textContent ?? ''));
  for (const chart of ['cpu', 'load', 'memory', 'network', 'processes']) {
    const ink = await inkOf(page, `#chart-${chart} canvas`);
    check(ink > 5, `the ${chart} chart is blank: ${ink} of 1000 pixels`);
  }
  await waitForChange(page, '#chart-cpu .legend-value');
  await waitForChange(page, '#host-figures .number');
  const before = await inkOf(page, '#chart-cpu canvas');
  check(before > 5, 'the CPU chart went blank');
  check((await text(page, '#host-state')) === 'live', `the host is not live: ${await text(page, '#host-state')}`);
}

async function crosshairIsInStep(page) {
  await goToHost(page, steady.host);
  await page.waitForFunction(() => document.querySelector('#chart-memory .u-over'));
  await waitForChange(page, '#chart-cpu .legend-value');
  const over = await page.locator('#chart-cpu .u-over').boundingBox();
  // The newest seconds are at the right edge.
  await page.mouse.move(over.x + over.width - 4, over.y + over.height / 2);
  await page.waitForFunction(() => /^\d\d:\d\d:\d\d$/.test(document.querySelector('#chart-cpu .chart-note').textContent));
  await page.waitForFunction(() => document.querySelector('#chart-memory .chart-note').textContent === document.querySelector('#chart-cpu .chart-note').textContent);
  const tips = await page.evaluate(() => [...document.querySelectorAll('.chart-tip')].filter((tip) => !tip.hidden).length);
  check(tips === 1, `${tips} charts show a tooltip, expected the one under the pointer`);
  await page.mouse.move(5, 300);
  await page.waitForFunction(() => document.querySelector('#chart-memory .chart-note').textContent === '');
  // A plot that is made anew just as the pointer leaves hears of no leaving.
  await page.evaluate(deafenToLeaving, true);
  await page.mouse.move(over.x + over.width - 4, over.y + over.height / 2);
  await page.waitForFunction(() => document.querySelector('#chart-memory .chart-note').textContent !== '');
  await page.mouse.move(5, 300);
  await page.waitForFunction(() => document.querySelector('#chart-memory .chart-note').textContent === '');
  await page.evaluate(deafenToLeaving, false);
  // What the machine's files say is what the screen says.
  const figure = async (name) => Number(await text(page, `#host-figures [data-figure=${name}] .number`));
  const [cpu, memory] = [await figure('cpu'), await figure('memory')];
  check(Math.abs(cpu - steady.cpu) < 3, `CPU is shown as ${cpu} %, the machine's files say ${steady.cpu} %`);
  check(Math.abs(memory - steady.memory) < 2, `memory is shown as ${memory} %, the machine's files say ${steady.memory} %`);
}

function deafenToLeaving(isDeaf) {
  globalThis.swallow ??= (event) => event.stopImmediatePropagation();
  const listen = isDeaf ? addEventListener : removeEventListener;
  for (const name of ['mouseleave', 'pointerleave']) listen.call(window, name, globalThis.swallow, true);
}

async function goToHost(page, host) {
  await page.evaluate((name) => { location.hash = `#/host/${name}`; }, host);
  await page.waitForFunction((name) => document.querySelector('#host-name').textContent === name, host);
}

async function windowAndBack(page) {
  await page.click('[data-window="1"]');
  await page.waitForFunction(() => location.hash.endsWith('?window=1'));
  await page.click('#host-back');
  await page.waitForFunction((count) => document.querySelectorAll('#table-body .row:not([hidden])').length === count, hosts);
  await page.click(`${row(steady.host)} .cell-name a`);
  await page.waitForFunction((name) => !document.querySelector('#host').hidden && document.querySelector('#host-name').textContent === name, steady.host);
  await page.goBack();
  await page.waitForFunction(() => !document.querySelector('#fleet').hidden);
}

async function fleetMoves(page) {
  check((await text(page, '#strip-total')) === String(hosts), `the strip counts ${await text(page, '#strip-total')} hosts of ${hosts}`);
  const names = await texts(page, '#table-body .row:not([hidden]) .cell-name a');
  check(names.length === hosts && names.includes(steady.host), `rows: ${names}`);
  await page.waitForFunction(() => [...document.querySelectorAll('#table-body .row:not([hidden])')].every((r) => r.dataset.level === 'ok' || r.dataset.level === 'warning'));
  // Any value: a machine that is busy through and through has the same CPU usage for ever.
  for (const host of [settings.own, settings.shown]) await waitForChange(page, `${row(host)} .cell-value .number`);
  await waitForChange(page, '#readout-stages td[data-stage=total]', 30_000);
  await everyStageHasALatency(page);
  await page.waitForFunction(() => /\b0 missing/.test(document.querySelector('#readout-ledger').textContent));
}

// The last one comes last: "durable" is measured with the first commit of the history, seconds after frames are drawn.
async function everyStageHasALatency(page) {
  const cells = '#readout-stages td[data-quantile=p50]';
  const measured = (selector) => [...document.querySelectorAll(selector)].every((cell) => /\d/.test(cell.textContent));
  try {
    await page.waitForFunction(measured, cells, { timeout: 30_000 });
  } catch {
    throw new Error(`a stage has no latency after 30 s: ${await texts(page, cells)}`);
  }
}

async function keysWork(page) {
  await page.keyboard.press('/');
  await page.keyboard.type(steady.host);
  await page.waitForFunction(() => document.querySelectorAll('#table-body .row:not([hidden])').length === 1);
  await page.keyboard.press('Escape');
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('Escape');
  await page.waitForFunction((count) => document.querySelectorAll('#table-body .row:not([hidden])').length === count, hosts);
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => !document.querySelector('#host').hidden);
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => !document.querySelector('#fleet').hidden);
}

// A browser opens six connections to a site: seven tabs need the one stream they share.
async function sevenTabsAreLive(context) {
  const tabs = [];
  for (let number = 0; number < 7; number += 1) {
    const tab = await context.newPage();
    await tab.goto(`${settings.page}/${number % 2 === 0 ? '' : `#/host/${settings.shown}`}`);
    tabs.push({ tab, watched: watch(tab), of: number % 2 === 0 ? `${row(settings.shown)} .cell-cpu .number` : '#chart-cpu .legend-value' });
  }
  await Promise.all(tabs.map(({ tab }) => waitForLink(tab, 'live')));
  await Promise.all(tabs.map(({ tab, of }) => waitForChange(tab, of)));
  const viewers = await text(tabs[0].tab, '#readout-link');
  check(/\b1 viewer\b/.test(viewers), `eight tabs should share one stream: ${viewers}`);
  for (const { tab, watched } of tabs) {
    checkFaultless(watched);
    await tab.close();
  }
  return tabs.length;
}

async function fitsEveryWidth(page) {
  for (const width of [380, 1024, 1440, 2560]) {
    await page.setViewportSize({ width, height: 900 });
    await page.evaluate(() => { location.hash = '#/'; });
    await page.waitForFunction(() => !document.querySelector('#fleet').hidden);
    await waitForChange(page, '#table-body .row:not([hidden]) .cell-cpu .number');
    await checkFits(page, `fleet at ${width}`);
    for (const host of [settings.own, steady.host]) {
      await goToHost(page, host);
      await page.waitForFunction(() => document.querySelector('#charts canvas'));
      await waitForChange(page, '#host-facts');
      await checkFits(page, `host ${host} at ${width}`);
    }
  }
  await page.setViewportSize(DESKTOP);
}

async function picturesOf(browser, page) {
  // Nothing marked or under the pointer, and no latency from what the tests did to the page.
  await page.mouse.move(4, 300);
  await page.reload();
  await waitForLink(page, 'live');
  await new Promise((resolve) => setTimeout(resolve, settings.history_ms - (Date.now() - startedMs)));
  const phone = await browser.newContext(PHONE);
  const small = await phone.newPage();
  const watched = watch(small);
  for (const theme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: theme });
    await small.emulateMedia({ colorScheme: theme });
    const ending = theme === 'light' ? '' : '-dark';
    await page.setViewportSize({ width: 1400, height: 720 });
    await page.evaluate(() => { location.hash = '#/'; });
    await page.waitForFunction(() => !document.querySelector('#fleet').hidden);
    await waitForChange(page, '#table-body .row:not([hidden]) .cell-cpu .number');
    await picture(page, `fleet-${theme}`);
    await page.setViewportSize(DESKTOP);
    for (const [name, host] of [['host', settings.shown], ['own', settings.own]]) {
      await page.evaluate((of) => { location.hash = `#/host/${of}?window=1`; }, host);
      await page.waitForFunction((of) => document.querySelector('#host-name').textContent === of, host);
      await page.waitForFunction(() => document.querySelectorAll('#charts canvas').length >= 8);
      await waitForChange(page, '#chart-cpu .legend-value');
      await picture(page, `${name}-${theme}`);
    }
    await small.goto(`${settings.page}/#/`);
    await waitForLink(small, 'live');
    await small.waitForFunction(() => /\d/.test(document.querySelector('#strip-link-age').textContent));
    await waitForChange(small, '#table-body .row:not([hidden]) .cell-cpu .number');
    await checkFits(small, 'fleet on a phone');
    await picture(small, `fleet-phone${ending}`);
    await small.goto(`${settings.page}/#/host/${settings.shown}?window=1`);
    await small.waitForFunction(() => document.querySelectorAll('#charts canvas').length >= 2);
    await waitForChange(small, '#chart-cpu .legend-value');
    await checkFits(small, 'host on a phone');
    await picture(small, `host-phone${ending}`);
  }
  checkFaultless(watched);
  await phone.close();
}
