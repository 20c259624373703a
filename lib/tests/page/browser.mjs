// What the scripts share: Debian's Chromium, a watch over everything a page does wrong, and the talk with the test.
import { existsSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import readline from 'node:readline';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

export const settings = JSON.parse(process.argv[2] ?? '{}');

const input = readline.createInterface({ input: process.stdin });
const answers = input[Symbol.asyncIterator]();

export function say(event) {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

// Asks the test for something only it can do, e.g. to stop a program, and waits until that is done.
export async function ask(what) {
  say({ ask: what });
  const { done } = await answers.next();
  if (done) throw new Error(`the test has ended before "${what}"`);
}

export function check(condition, words) {
  if (!condition) throw new Error(words);
}

// Runs a script with a browser; what it returns is its report, what it throws fails the test in words.
export async function run(script) {
  const browser = await chromium.launch({ executablePath: chromiumPath(), args: FLAGS, headless: true });
  // The test is gone: nobody waits for an end any more.
  input.on('close', () => browser.close().finally(() => process.exit(1)));
  let code = 0;
  try {
    say({ done: (await script(browser)) ?? {} });
  } catch (error) {
    code = 1;
    await pictureOfFailure(browser);
    say({ failed: String(error.stack ?? error) });
  }
  input.removeAllListeners('close');
  await browser.close();
  process.exit(code);
}

function chromiumPath() {
  const found = process.env.PATH.split(':').map((folder) => path.join(folder, 'chromium')).find(existsSync);
  if (!found) throw new Error("chromium is not installed: run 'make setup'");
  return found;
}

async function pictureOfFailure(browser) {
  const script = path.basename(process.argv[1], '.mjs');
  const pages = browser.contexts().flatMap((context) => context.pages());
  for (const [at, page] of pages.entries()) {
    await page.screenshot({ path: path.join(settings.pictures, `failed-${script}-${at}.png`), timeout: 5_000 }).catch(() => {});
  }
}

export function picture(page, name) {
  return page.screenshot({ path: path.join(settings.pictures, `${name}.png`) });
}

// Notes whatever a page must not do. `isServerAway()` tells when a refused connection is to be expected.
export function watch(page, isServerAway = () => false) {
  const faults = [];
  const requests = [];
  page.on('pageerror', (error) => faults.push(`uncaught: ${error.stack ?? error}`));
  page.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return;
    if (isServerAway() && /net::ERR_/.test(message.text())) return;
    faults.push(`${message.type()} on the console: ${message.text()} (${message.location().url})`);
  });
  page.on('request', (request) => {
    requests.push(request.url());
    const { protocol, host } = new URL(request.url());
    if (protocol !== 'data:' && host !== new URL(settings.page).host) faults.push(`asked another site: ${request.url()}`);
  });
  return { faults, requests };
}

export function checkFaultless(watched) {
  check(watched.faults.length === 0, `the page did wrong:\n${watched.faults.join('\n')}`);
}

export function waitForLink(page, state, timeout = 20_000) {
  return page.waitForFunction((wanted) => document.body.dataset.link === wanted, state, { timeout });
}

// Waits until there are texts that `selector` finds, and then until they are others.
export async function waitForChange(page, selector, timeout = 15_000) {
  await page.waitForSelector(selector, { state: 'attached', timeout });
  const before = await texts(page, selector);
  await page.waitForFunction(([of, old]) => {
    const now = [...document.querySelectorAll(of)].map((element) => element.textContent);
    return JSON.stringify(now) !== old;
  }, [selector, JSON.stringify(before)], { timeout });
  return before;
}

export function texts(page, selector) {
  return page.evaluate((of) => [...document.querySelectorAll(of)].map((element) => element.textContent), selector);
}

export function text(page, selector) {
  return page.evaluate((of) => document.querySelector(of)?.textContent ?? null, selector);
}

// Everything that is wider than the window or than its own cell: [what, pixels].
export function overflows(page) {
  return page.evaluate(() => {
    const found = [];
    const wide = document.documentElement.scrollWidth - innerWidth;
    if (wide > 0) found.push(['page', wide]);
    const isShown = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 1;
    for (const element of document.querySelectorAll('body *')) {
      if (!isShown(element) || element.closest('svg, .visually-hidden, canvas')) continue;
      const box = element.getBoundingClientRect();
      if (box.right > innerWidth + 1 || box.left < -1) found.push([describe(element), box.right - innerWidth]);
    }
    // Numbers that leave their cell lie on their neighbour.
    for (const cell of document.querySelectorAll('.cell-value, .cell-age, .figure dd, .stages td, .legend li')) {
      if (!isShown(cell)) continue;
      const range = document.createRange();
      range.selectNodeContents(cell);
      const inside = [...range.getClientRects()].filter((rect) => rect.width > 0);
      const box = cell.getBoundingClientRect();
      const over = Math.max(0, ...inside.map((rect) => Math.max(box.left - rect.left, rect.right - box.right)));
      if (over > 1) found.push([`${describe(cell)} "${cell.textContent}"`, over]);
    }
    return found.slice(0, 20);

    function describe(element) {
      const place = element.closest('[id]');
      return `${element.tagName.toLowerCase()}.${element.className} in #${place?.id}`;
    }
  });
}

export async function checkFits(page, what) {
  const found = await overflows(page);
  check(found.length === 0, `${what}: too wide: ${JSON.stringify(found)}`);
}

// How many of a canvas's pixels something was drawn on, in 1000.
export function inkOf(page, selector) {
  return page.evaluate((of) => {
    const canvas = document.querySelector(of);
    if (!canvas || canvas.width === 0) return 0;
    // A copy: reading a canvas back would change how the browser keeps it.
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    let inked = 0;
    for (let at = 3; at < data.length; at += 4) if (data[at] > 0) inked += 1;
    return Math.round((1000 * inked * 4) / data.length);
  }, selector);
}
