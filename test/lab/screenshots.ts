// The pictures of docs/status-page.md: a hub with traffic from four spokes, its page light and dark, as PNG files in the
// folder that is named.   node dist/test/lab/screenshots.js docs/images
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBrowser } from './browser.ts';
import { HUB, HubLab, vpc } from './hub.ts';
import { until } from './process.ts';

const PAGE = '127.0.0.1:9586';
const NAMES = ['beijing', 'tokyo', 'frankfurt', 'sao-paulo'];
/** What each spoke sends, or is sent, as iperf3 is told: Mbit/s, seconds to wait before, and which way. */
const TRAFFIC = [
  { spoke: 1, mbps: 90, wait: 0, reverse: false },
  { spoke: 1, mbps: 60, wait: 15, reverse: true },
  { spoke: 2, mbps: 25, wait: 10, reverse: true },
  { spoke: 3, mbps: 4, wait: 5, reverse: false },
  { spoke: 4, mbps: 12, wait: 30, reverse: false },
];
/** Seconds until the pictures are taken. */
const DURATION = 60;

async function main(folder: string): Promise<void> {
  const hub = await HubLab.create();
  try {
    await hub.start((file) => {
      file.gateway['name'] = 'ningxia';
      file.gateway['metrics'] = { listen: PAGE, page: true };
      file.peerings.forEach((peering, at) => (peering['name'] = NAMES[at]));
      file.peerings[1]['shape'] = { out: { rate: '100mbit', classes: [{ name: 'voice', dscp: 'EF', priority: 1 }] } };
      const branch = { name: 'branch-office', role: 'server', psk: 'b1'.repeat(32), address: '10.8.0.9', acl: 'open' };
      file.peerings.push({ ...branch, subnets: ['10.9.0.0/16'] });
      // The spokes keep theirs, and send what is refused here.
      file.acls = {
        open: [
          { name: 'no-telnet', action: 'deny', protocol: 'tcp', ports: 23 },
          { name: 'dns', action: 'allow', direction: 'in', protocol: 'udp', ports: 53 },
          ...file.acls['open'],
        ],
      };
    });
    await traffic(hub);
    const browser = await startBrowser(hub.lab, 'hub');
    const { page } = browser;
    await page.goto(`http://${PAGE}/`);
    await sleep(DURATION * 1000);
    const fields = { source: vpc(1)[4], destination: vpc(HUB)[4], port: '23' };
    for (const [name, value] of Object.entries(fields)) await page.getByRole('textbox', { name }).fill(value);
    await page.getByRole('textbox', { name: 'port' }).press('Enter');
    await page.locator('#trace-answer .verdict').waitFor();
    await page.evaluate('document.activeElement.blur(); scrollTo(0, 0)');
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: join(folder, `status-page-${colorScheme}.png`) });
    }
    await page.emulateMedia({ colorScheme: 'light' });
    await page.locator('#trace-section').scrollIntoViewIfNeeded();
    await page.screenshot({ path: join(folder, 'status-page-trace.png') });
    await browser.close();
  } finally {
    await hub.dispose();
  }
}

async function traffic({ lab }: HubLab): Promise<void> {
  for (const [at, { spoke, mbps, wait, reverse }] of TRAFFIC.entries()) {
    const port = String(5201 + at);
    lab.spawn('hub', ['iperf3', '--server', '--bind', vpc(HUB)[4], '--port', port]);
    await until('iperf3', async () => (await lab.must('hub', ['ss', '-Htln', `sport = ${port}`])) !== '');
    const load = `--udp --length 1200 --bitrate ${mbps}M --time ${DURATION * 2}${reverse ? ' --reverse' : ''}`;
    const client = `exec iperf3 --client ${vpc(HUB)[4]} --bind ${vpc(spoke)[4]} --port ${port} ${load}`;
    lab.spawn(`spoke${spoke}`, ['bash', '-c', `sleep ${wait}; ${client}`]);
  }
  const refused = `while sleep 0.7; do timeout 2 bash -c 'exec 3<>/dev/tcp/${vpc(HUB)[4]}/23'; done`;
  lab.spawn('spoke3', ['bash', '-c', refused]);
}

await main(process.argv[2]);
