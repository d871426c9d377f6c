// The status page in a real browser, of a real gateway with real traffic.
import test from 'ava';
import type { ExecutionContext } from 'ava';
import type { Page } from 'playwright-core';
import type { TraceAnswer } from '../../src/gateway/trace.ts';
import { startBrowser } from '../lab/browser.ts';
import type { Browser } from '../lab/browser.ts';
import {
  interfaceName,
  ISTHMUS,
  generatePsk,
  isthmusFiles,
  startGateways,
  writeGatewayFile,
} from '../lab/contenders.ts';
import type { GatewayFile } from '../lab/contenders.ts';
import type { Lab } from '../lab/lab.ts';
import { knock } from '../lab/knock.ts';
import { until } from '../lab/process.ts';
import { A, B, twoVpcs } from '../lab/two-vpcs.ts';

const ORIGIN = 'http://127.0.0.1:9586';
const TOKEN = 'open-sesame-0123456789';
/** Ms: a slow machine may take its time. */
const PATIENCE = 90_000;

const textOf = async (page: Page, selector: string): Promise<string> =>
  (await page.locator(selector).first().innerText()).trim();

/** Waits until the text of an element is as wanted. */
async function untilText(page: Page, selector: string, wanted: RegExp): Promise<string> {
  let text = '';
  const fits = async (): Promise<boolean> => {
    text = await textOf(page, selector);
    return wanted.test(text);
  };
  await until(`${selector} to be ${wanted.source}`, fits, PATIENCE).catch((error: unknown) => {
    throw new Error(`${selector} is: ${text}`, { cause: error });
  });
  return text;
}

function files(lab: Lab, psk: string): [GatewayFile, GatewayFile] {
  const [a, b] = isthmusFiles(lab, psk);
  a.gateway['metrics'] = { listen: ORIGIN.slice('http://'.length), page: true, token: TOKEN };
  a.peerings[0]['bundle'] = 'east';
  a.peerings[0]['shape'] = { out: { rate: '200mbit', classes: [{ name: 'voice', dscp: 'EF', priority: 1 }] } };
  a.acls['open'].unshift(
    { name: 'no-telnet', action: 'deny', direction: 'out', protocol: 'tcp', ports: 23 },
    { name: 'never-used', action: 'allow', protocol: 'tcp', ports: 24 },
  );
  return [a, b];
}

test('the status page shows a gateway at work, to eyes, ears and keyboards', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const [fileA, fileB] = files(lab, await generatePsk(lab));
  const tunnel = await startGateways(lab, [fileA, fileB]);
  const browser = await startBrowser(lab, 'gwa');
  t.teardown(() => browser.close());
  const { page } = browser;
  await page.goto(`${ORIGIN}/`);
  await untilText(page, '#connection', /^Live$/);
  t.is(await textOf(page, '#gateway'), 'gateway-a');
  t.is(await textOf(page, '#listening'), '● listening');
  t.is(await page.title(), 'gateway-a: Isthmus');

  await showsTraffic(t, lab, page);
  await showsDrops(t, lab, page);
  await traces(t, lab, browser);
  await searches(t, page);
  await showsRequests(t, lab, page);
  await canBeReadAloud(t, page);
  await hasThemes(t, page);
  await canBeUsedByKeyboard(t, page);
  t.deepEqual(browser.complaints, []);
  await reloads(t, lab, browser, fileA);
  t.deepEqual([...browser.origins], [ORIGIN]);

  await tunnel.stop();
  await untilText(page, '#connection', /^No answer since \d\d:\d\d:\d\d: what you see is old$/);
});

async function showsTraffic(t: ExecutionContext, lab: Lab, page: Page): Promise<void> {
  const server = lab.spawn('b', ['iperf3', '--server']);
  const listening = async (): Promise<boolean> => (await lab.must('b', ['ss', '-Htln', 'sport = 5201'])).trim() !== '';
  await until('the iperf3 server', listening);
  t.regex(await textOf(page, '#tile-out'), /^(–|\d+ kbit\/s)$/);
  const client = lab.spawn('a', ['iperf3', '--client', B[4], '--udp', '--bitrate', '20M', '--time', '300']);
  await untilText(page, '#tile-out', /^\d+\.\d Mbit\/s$/);
  t.regex(await untilText(page, '#peerings tr', /Mbit\/s/), /^vpc-b\n[^]*● up, in use[^]*198\.51\.100\.2:51820/);
  await untilText(page, '#peerings tr', /\d+\.\d ms/);
  const label = page.locator('#topology .rate.out').first();
  await until('the drawing', async () => /^out \d+\.\d Mbit\/s$/.test((await label.textContent()) ?? ''), PATIENCE);
  await untilText(page, '#flows', new RegExp(`${B[4]}:5201`));
  await untilText(page, '#shapes', /voice/);
  t.regex((await page.locator('#chart .line.out').getAttribute('d')) ?? '', /^M[\d.,L]+$/);
  t.regex(await textOf(page, '#events'), /vpc-b session with 198\.51\.100\.2:51820/);
  await client.stop();
  await server.stop();
  await untilText(page, '#tile-out', /^\d+ kbit\/s$/);
}

async function showsDrops(t: ExecutionContext, lab: Lab, page: Page): Promise<void> {
  t.false((await textOf(page, '#drops')).includes('acl-rule'));
  await knock(lab, 'a', B[4], 23);
  await untilText(page, '#drops', /acl-rule/);
  const row = await textOf(page, '#drops tr:has-text("acl-rule")');
  t.regex(row, /^acl-rule\s+[\d.]+\s+[1-9]\s+A rule of an access list denies it\.$/);
  await untilText(page, '#rules tr:has-text("no-telnet")', /\s[1-9]\d*\s+[1-9]\d*\s/);
}

async function showsRequests(t: ExecutionContext, lab: Lab, page: Page): Promise<void> {
  t.true(await page.locator('#requests').isHidden());
  const request = [
    'peering',
    'request',
    'vpc-c',
    '--endpoint',
    'gateway.example.com:51820',
    '--gateway',
    interfaceName(lab, 'a'),
  ];
  await lab.must('gwa', [...ISTHMUS, ...request]);
  t.regex(await untilText(page, '#requested tr', /vpc-c/), /^vpc-c[^]*pcx-[^]*pending-acceptance\s+requester/);
  t.false((await textOf(page, '#peerings')).includes('vpc-c'), 'nothing goes over it yet');
}

/** The form and the command say the same. */
async function traces(t: ExecutionContext, lab: Lab, { page, complaints }: Browser): Promise<void> {
  for (const [source, destination, port] of [
    [A[4], B[4], '443'],
    [A[4], B[4], '23'],
    ['10.9.9.9', B[4], '80'],
    [B[6], A[6], '80'],
  ]) {
    await page.getByRole('textbox', { name: 'source' }).fill(source);
    await page.getByRole('textbox', { name: 'destination' }).fill(destination);
    await page.getByRole('textbox', { name: 'port' }).fill(port);
    await page.getByRole('textbox', { name: 'port' }).press('Enter');
    const asked = ['--source', source, '--destination', destination, '--port', port, '--json'];
    const { stdout } = await lab.run('gwa', [...ISTHMUS, 'trace', interfaceName(lab, 'a'), ...asked]);
    const { passes, to, reason, steps } = JSON.parse(stdout) as TraceAnswer;
    const verdict = passes ? `● passes, to ${to}` : `■ dropped: ${reason}`;
    await until(
      verdict,
      async () => (await page.locator('#trace-answer .verdict').allInnerTexts()).join() === verdict,
      PATIENCE,
    );
    const shown = await page.locator('#trace-answer li').allInnerTexts();
    t.is(shown.length, steps.length);
    t.deepEqual(
      shown.map((line) => line.split(/\s+/)[1]),
      steps.map(({ step }) => step),
    );
  }
  await page.getByRole('textbox', { name: 'source' }).fill('nonsense');
  await page.getByRole('textbox', { name: 'source' }).press('Enter');
  await untilText(page, '#trace-answer .fault', /^source nonsense: wanted an IPv4 or IPv6 address$/);
  // The browser itself notes a refusal.
  t.true(complaints.splice(0).every((text) => text.includes('422')));
}

async function searches(t: ExecutionContext, page: Page): Promise<void> {
  const rows = (table: string): Promise<string[]> => page.locator(`#${table} tr`).allInnerTexts();
  const all = (await rows('routes')).length;
  t.true(all > 2);
  await page.locator('#route-search').fill('192.168 EAST');
  const found = await rows('routes');
  t.true(found.length > 0 && found.length < all);
  t.true(found.every((row) => row.startsWith('192.168.0.0/16')));
  t.is(await textOf(page, '#route-count'), `${found.length} of ${all} routes`);
  await page.locator('#route-search').fill('nothing like it');
  t.deepEqual(await rows('routes'), ['No such route.']);
  await page.locator('#route-search').fill('');

  t.is((await rows('rules')).length, 3);
  await page.getByLabel('never matched').check();
  t.regex((await rows('rules')).join('|'), /^open\/never-used[^|]*$/);
  await page.getByLabel('never matched').uncheck();
  await page.locator('#rule-search').fill('deny');
  t.regex((await rows('rules')).join('|'), /^open\/no-telnet[^|]*$/);
  await page.locator('#rule-search').fill('');
}

async function canBeReadAloud(t: ExecutionContext, page: Page): Promise<void> {
  const tree = await page.locator('body').ariaSnapshot();
  const roles = 'region|table|img|button|textbox|searchbox|combobox|checkbox|log|navigation|heading|link';
  t.deepEqual(tree.match(new RegExp(`^ *- '?(${roles})(?! ").*$`, 'gm')), null, tree);
  for (const landmark of ['- banner', '- main', '- navigation "Sections"', '- contentinfo']) {
    t.true(tree.includes(landmark), landmark);
  }
  t.regex(tree, /img "Gateway gateway-a joins the local VPC to its peerings, of which 1 of 1 are up; now in /);
  t.regex(tree, /table "Peerings, with their state/);
  t.regex(tree, /rowheader "vpc-b /);
  t.regex(tree, /- status: (● )?Live$/m);
}

/** Texts with less contrast to what is behind them than WCAG 2.1 AA wants, and how much they have. */
const FAINT = `Array.from(document.querySelectorAll('body *')).flatMap((element) => {
  const own = Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.data.trim() !== '');
  if (!own || !element.checkVisibility() || element.closest('svg, .hidden, .skip, option')) return [];
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => channels(color).slice(0, 3)
    .map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  let behind = element;
  while (channels(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const both = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(luminance).sort();
  const ratio = (both[1] + 0.05) / (both[0] + 0.05);
  return ratio < 4.5 ? [element.textContent.trim() + ': ' + ratio.toFixed(2)] : [];
})`;

async function hasThemes(t: ExecutionContext, page: Page): Promise<void> {
  const ground = (): Promise<string> => page.evaluate('getComputedStyle(document.body).backgroundColor');
  const [light, dark] = ['rgb(243, 245, 248)', 'rgb(13, 17, 23)'];
  t.is(await ground(), light);
  t.deepEqual(await page.evaluate(FAINT), []);
  await page.emulateMedia({ colorScheme: 'dark' });
  t.is(await ground(), dark);
  t.deepEqual(await page.evaluate(FAINT), []);
  await page.getByRole('button', { name: 'Theme: system' }).click();
  t.is(await ground(), light);
  await page.getByRole('button', { name: 'Theme: light' }).click();
  await page.emulateMedia({ colorScheme: 'light' });
  t.is(await ground(), dark);
  await page.reload();
  t.is(await ground(), dark, 'what was chosen stays');
  await page.getByRole('button', { name: 'Theme: dark' }).click();
  t.is(await ground(), light);
  await untilText(page, '#connection', /^Live$/);
}

/** Everything that a mouse can do is reached by Tab, with a mark where it is, and works by keys. */
async function canBeUsedByKeyboard(t: ExecutionContext, page: Page): Promise<void> {
  const focused = (what: string): Promise<string> =>
    page.evaluate(`(() => { const e = document.activeElement; return ${what}; })()`);
  await page.goto(`${ORIGIN}/`);
  await untilText(page, '#connection', /^Live$/);
  await page.keyboard.press('Tab');
  t.is(await focused('e.textContent'), 'Skip to the content');
  await page.keyboard.press('Enter');
  t.is(await focused('e.id'), 'main');
  const wanted: string[] = await page.evaluate(
    `Array.from(document.querySelectorAll('a[href], button, input, select')).filter((e) => e.checkVisibility()).map((e) => e.id || e.name || e.textContent)`,
  );
  t.true(wanted.length > 18, wanted.join());
  const reached = new Set<string>();
  for (let steps = 0; steps < 60 && wanted.some((name) => !reached.has(name)); steps++) {
    await page.keyboard.press('Tab');
    reached.add(await focused('e.id || e.name || e.textContent'));
    t.is(await focused(`e === document.body ? 'solid' : getComputedStyle(e).outlineStyle`), 'solid');
  }
  t.deepEqual(
    wanted.filter((name) => !reached.has(name)),
    [],
  );

  await page.getByRole('button', { name: 'Pause' }).focus();
  await page.keyboard.press('Space');
  await untilText(page, '#connection', /^Paused$/);
  t.is(await page.getByRole('button', { name: 'Pause' }).getAttribute('aria-pressed'), 'true');
  await page.keyboard.press('Space');
  await untilText(page, '#connection', /^Live$/);
}

async function reloads(t: ExecutionContext, lab: Lab, { page, complaints }: Browser, file: GatewayFile): Promise<void> {
  const form = page.locator('#reload-form');
  const look = form.getByRole('button', { name: 'Show what would change' });
  await form.getByLabel('token').fill('not the token');
  await look.click();
  await untilText(page, '#reload-answer', /^the token is not the one in gateway\.metrics$/);
  t.true(complaints.splice(0).every((text) => text.includes('401')));

  writeGatewayFile(lab, 'gwa', { ...file, peerings: [{ ...file.peerings[0], keepalive: '25s' }] });
  await form.getByLabel('token').fill(TOKEN);
  await look.click();
  await untilText(page, '#reload-answer', /^Would be: 1 change\s+~ peerings\[vpc-b\]\.keepalive: 0s → 25s$/);
  await form.getByRole('button', { name: 'Reload' }).click();
  await untilText(page, '#reload-answer', /^Done: 1 change/);
  await untilText(page, '#events', /configuration reloaded, changes: 1/);
  await look.click();
  await untilText(page, '#reload-answer', /^The file says what the gateway does\.$/);
  t.deepEqual(complaints, []);
}
