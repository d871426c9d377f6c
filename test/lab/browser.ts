// A real browser on a lab's host, which notes whatever it complains about.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import type { Lab } from './lab.ts';

export interface Browser {
  readonly page: Page;
  /** What the console, the network or the page's own code complained about. */
  readonly complaints: string[];
  /** The origins that anything was asked of. */
  readonly origins: Set<string>;
  close(): Promise<void>;
}

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** Ms for anything that a page is to do: it shares a slow machine with two gateways. */
const PATIENCE = 60_000;

/** Starts Chromium on a host, with a profile of its own in the lab's directory. */
export async function startBrowser(lab: Lab, host: string): Promise<Browser> {
  const folder = mkdtempSync(join(lab.directory, 'chromium-'));
  const program = join(folder, 'chromium.sh');
  const command = `exec ip netns exec ${lab.namespace(host)} /usr/bin/chromium "$@"`;
  writeFileSync(program, `#!/bin/sh\n${command}\n`, { mode: 0o700 });
  const context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    executablePath: program,
    headless: true,
    args: FLAGS,
    viewport: { width: 1320, height: 920 },
    colorScheme: 'light',
    reducedMotion: 'reduce',
    timeout: 2 * PATIENCE,
  });
  context.setDefaultTimeout(PATIENCE);
  return watched(context);
}

async function watched(context: BrowserContext): Promise<Browser> {
  const page = context.pages().at(0) ?? (await context.newPage());
  const complaints: string[] = [];
  const origins = new Set<string>();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`script: ${error.message}`));
  page.on('requestfailed', (request) => {
    const error = request.failure()?.errorText;
    // A call under way when the page is loaded anew is given up, as is one that a slow machine does not answer in time.
    if (error !== 'net::ERR_ABORTED') complaints.push(`failed: ${request.url()} ${error}`);
  });
  context.on('request', (request) => origins.add(new URL(request.url()).origin));
  page.on('response', (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`);
  });
  return { page, complaints, origins, close: () => context.close() };
}
