// What is old must say so, in words and with its age: a host that was killed or hangs, and a server that hangs or was
// killed. Two tabs watch: the fleet, and the page of the host that dies. The test sends the signals.
import { ask, check, checkFaultless, checkFits, picture, run, settings, text, waitForChange, waitForLink, watch } from './browser.mjs';

const { dying, living } = settings;
// Five seconds are promised. The logic is tested by a scripted clock; this machine may be busy, so four times that.
const SOON_MS = 20_000;
const row = (host) => `#table-body .row[data-host="${host}"]`;

run(async (browser) => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  await context.addInitScript(noteLinkStates);
  let isAway = false;
  const fleet = await context.newPage();
  const host = await context.newPage();
  const watched = [fleet, host].map((page) => watch(page, () => isAway));
  await fleet.goto(`${settings.page}/`);
  await host.goto(`${settings.page}/#/host/${dying}`);
  const both = { fleet, host };
  await isWell(both);

  const report = {};
  report.killed_client_ms = await silentHost(both, `kill ${dying}`);
  await ask(`start ${dying}`);
  await isWell(both);
  report.hung_client_ms = await silentHost(both, `freeze ${dying}`);
  await ask(`thaw ${dying}`);
  await isWell(both);
  check((await linkStates(fleet)).every((state) => state === 'live' || state === 'connecting'), `the link was never in doubt: ${await linkStates(fleet)}`);

  isAway = true;
  // A tab behind another gets a frame a second; in front it is what a viewer sees.
  await fleet.bringToFront();
  report.hung_analysis_ms = await hungServer(both);
  report.killed_analysis_ms = await killedServer(both);
  isAway = false;
  await endedHost(both);
  watched.forEach(checkFaultless);
  return report;
});

// Every state of the link that was ever on the screen.
function noteLinkStates() {
  globalThis.linkStates = [];
  new MutationObserver(() => {
    const state = document.body?.dataset.link;
    if (state && state !== linkStates.at(-1)) linkStates.push(state);
  }).observe(document, { subtree: true, attributes: true, attributeFilter: ['data-link'] });
}

function linkStates(page) {
  return page.evaluate(() => globalThis.linkStates);
}

// Live, every host live, values moving.
async function isWell({ fleet, host }) {
  for (const page of [fleet, host]) await waitForLink(page, 'live', 2 * SOON_MS);
  for (const name of [dying, living]) {
    await fleet.waitForFunction((of) => document.querySelector(of)?.dataset.level === 'ok', row(name), { timeout: 2 * SOON_MS });
    check((await fleet.getAttribute(row(name), 'data-old')) === null, `${name} is live and shown as old`);
  }
  await waitForChange(fleet, `${row(dying)} .cell-cpu .number`);
  await host.waitForFunction(() => document.querySelector('#host-state').dataset.level === 'ok');
  await host.waitForFunction(() => /\d/.test(document.querySelector('#chart-cpu .legend-value')?.textContent ?? ''));
  await waitForChange(host, '#chart-cpu .legend-value');
  const title = await fleet.title();
  check(title.startsWith('2/2 up'), `the title says "${title}"`);
  check((await text(fleet, '#notice-link')) === null, 'a notice of loss while live');
}

// The host goes silent: its own rows and page say so, the other host and the link stay well.
async function silentHost({ fleet, host }, how) {
  await ask(how);
  const startMs = Date.now();
  await fleet.waitForFunction((of) => document.querySelector(of).dataset.level === 'critical', row(dying), { timeout: SOON_MS });
  const afterMs = Date.now() - startMs;
  check((await fleet.getAttribute(row(dying), 'data-old')) !== null, 'old values are not shown as old');
  check((await fleet.getAttribute(row(living), 'data-level')) === 'ok', `${living} is said to be bad too`);
  check((await text(fleet, '#strip-bad')) === '1 critical', `the strip says "${await text(fleet, '#strip-bad')}"`);
  check((await text(fleet, '#strip-up-count')) === '1', `${await text(fleet, '#strip-up-count')} of 2 are said to be up`);
  const issue = await text(fleet, `#attention .issue[data-host="${dying}"]`);
  check(/critical/.test(issue) && /silent/.test(issue) && /for /.test(issue), `what needs attention: "${issue}"`);
  check(/^1 critical, 1\/2 up/.test(await fleet.title()), `the title says "${await fleet.title()}"`);
  await host.waitForFunction(() => document.querySelector('#host-state').dataset.level === 'critical');
  check(/^silent\b.* for /.test(await text(host, '#host-state')), `the host's page says "${await text(host, '#host-state')}"`);
  check((await host.getAttribute('#host', 'data-old')) !== null, "the host's values are not shown as old");
  check((await text(fleet, '#strip-link-word')) === 'live', 'a silent host is not a lost server');
  await waitForChange(fleet, `${row(living)} .cell-cpu .number`);
  await picture(fleet, 'fleet-host-silent');
  await picture(host, 'host-silent');
  return afterMs;
}

// A client that took its leave is no alarm.
async function endedHost({ fleet }) {
  await ask(`stop ${living}`);
  await fleet.waitForFunction((of) => document.querySelector(of).dataset.level === 'ended', row(living), { timeout: SOON_MS });
  check((await fleet.getAttribute(row(living), 'data-old')) !== null, 'old values are not shown as old');
  await fleet.waitForFunction(() => document.querySelector('#strip-bad').textContent === '1 ended');
  check(/^1\/2 up/.test(await fleet.title()), `the title says "${await fleet.title()}"`);
  check(await fleet.isHidden('#attention'), 'a goodbye is said to need attention');
}

async function saysDisconnected({ fleet, host }) {
  for (const page of [fleet, host]) {
    await page.waitForFunction(() => ['stale', 'lost'].includes(document.body.dataset.link), null, { timeout: SOON_MS });
    await page.waitForFunction(() => /Disconnected from the server: .*last event .* ago/.test(document.querySelector('#notice-link')?.textContent ?? ''));
    check(/^no data /.test(await page.title()), `the title says "${await page.title()}"`);
    check(/no data|disconnected/.test(await text(page, '#strip-link-word')), `the strip says "${await text(page, '#strip-link-word')}"`);
    check((await text(page, '#strip-bad')) === 'unknown', 'nobody knows what is bad');
    check((await text(page, '#strip-up-count')) === '?', 'nobody knows what is up');
  }
  for (const name of [dying, living]) {
    await fleet.waitForFunction((of) => document.querySelector(of).dataset.level === 'unknown', row(name));
    check((await fleet.getAttribute(row(name), 'data-old')) !== null, 'old values are not shown as old');
  }
  check(await fleet.isHidden('#attention'), 'what needs attention is not known');
  check(/^unknown: the server was last heard/.test(await text(host, '#host-state')), `the host's page says "${await text(host, '#host-state')}"`);
}

async function hungServer(both) {
  const { fleet } = both;
  const before = await linkStates(fleet);
  await ask('freeze analysis');
  const startMs = Date.now();
  await fleet.waitForFunction(() => ['stale', 'lost'].includes(document.body.dataset.link), null, { timeout: SOON_MS });
  const afterMs = Date.now() - startMs;
  await saysDisconnected(both);
  await picture(fleet, 'fleet-server-hung');
  await picture(both.host, 'host-server-hung');
  // A new try was made and was not answered either: that must not look like a recovery.
  await fleet.waitForFunction(() => /the server does not answer/.test(document.querySelector('#notice-link').textContent), null, { timeout: 2 * SOON_MS });
  const during = (await linkStates(fleet)).slice(before.length);
  check(during.every((state) => ['late', 'stale', 'lost'].includes(state)), `without any event the link was said to be: ${during}`);
  await fleet.setViewportSize({ width: 380, height: 760 });
  await checkFits(fleet, 'a hung server on a phone');
  await picture(fleet, 'fleet-server-hung-phone');
  await fleet.setViewportSize({ width: 1440, height: 900 });
  await ask('thaw analysis');
  await isWell(both);
  return afterMs;
}

async function killedServer(both) {
  const { fleet } = both;
  const before = await linkStates(fleet);
  const connects = Number(await fleet.getAttribute('#readout-link', 'data-connects'));
  await ask('kill analysis');
  const startMs = Date.now();
  await fleet.waitForFunction(() => document.body.dataset.link === 'lost', null, { timeout: SOON_MS });
  const afterMs = Date.now() - startMs;
  await saysDisconnected(both);
  check(/the server closed the connection/.test(await text(fleet, '#notice-link')), `the cause is said to be: ${await text(fleet, '#notice-link')}`);
  const during = (await linkStates(fleet)).slice(before.length);
  check(!during.includes('live'), `without any event the link was said to be: ${during}`);
  await ask('start analysis');
  await isWell(both);
  check(Number(await fleet.getAttribute('#readout-link', 'data-connects')) > connects, 'no reconnect was counted');
  check(/last reconnect \d\d:\d\d:\d\d/.test(await text(fleet, '#readout-link')), 'the reconnect is not told');
  return afterMs;
}
