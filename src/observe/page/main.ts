/** The status page: asks the gateway every second and shows what it says. */
import type { GatewayStatus } from '../../gateway/status.ts';
import { askEvents, askFlows, askPeerings, askRoutes, askSettings, askStatus, Refusal } from './calls.ts';
import { Chart } from './chart.ts';
import { byId, fieldById, html, setAttribute, setText } from './dom.ts';
import { EventList } from './events.ts';
import { offerAttachments, setUpReload, setUpTrace } from './forms.ts';
import { History } from './history.ts';
import { showOverview } from './overview.ts';
import { Drops, Flows, Peerings, Requests, Routes, Rules, Shapes } from './panels.ts';
import { setUpTheme } from './theme.ts';
import { Topology } from './topology.ts';

/** Between two looks, in ms; and how many of them the charts go back. */
const INTERVAL = 1000;
const LENGTH = 180;
/** Flows, and what changes rarely, are asked for with each of so many looks. */
const FLOWS_EVERY = 2;
const RARELY = 15;

const history = new History(LENGTH);
const topology = new Topology(byId('topology'));
const chart = new Chart(byId('chart'), LENGTH);
const tables = [new Peerings(history), new Drops(history), new Shapes(), new Rules()];
const flows = new Flows();
const routes = new Routes();
const requests = new Requests();
const events = new EventList();
const whose = fieldById('whose', HTMLSelectElement);
const flowOrder = fieldById('flow-order', HTMLSelectElement);
let looks = 0;
let isPaused = false;

async function look(): Promise<void> {
  const { status, at } = await askStatus();
  history.add(status, at);
  show(status);
  const happened = (await askEvents(events.last)).events;
  events.add(happened);
  if (looks % FLOWS_EVERY === 0) flows.show(await askFlows(flowOrder.value));
  // What changes these is an event: a reload, routes that were learnt, a peering that was accepted.
  if (looks % RARELY === 0 || happened.length > 0) {
    routes.show(await askRoutes());
    requests.show(await askPeerings());
  }
  looks++;
}

function show(status: GatewayStatus): void {
  const names = status.peers.map(({ name }) => name);
  showOverview(status, history);
  topology.draw(status, history);
  for (const table of tables) table.show(status);
  offerAttachments(names);
  offerPeerings(names);
  showChart();
}

function showChart(): void {
  if (whose.value === '') chart.draw('all peerings', history.total);
  else chart.draw(whose.value, history.of(whose.value));
}

function offerPeerings(names: readonly string[]): void {
  const wanted = ['', ...names];
  if (Array.from(whose.options, ({ value }) => value).join('\n') === wanted.join('\n')) return;
  const chosen = whose.value;
  whose.replaceChildren(...wanted.map((name) => html('option', { value: name }, name === '' ? 'all peerings' : name)));
  whose.value = wanted.includes(chosen) ? chosen : '';
}

/** Says how fresh the page is; what does not change is not announced anew. */
function say(words: string, state: 'live' | 'paused' | 'stale'): void {
  setText(byId('connection'), words);
  setAttribute(document.documentElement, 'data-connection', state);
}

async function run(): Promise<void> {
  let since: string | undefined;
  for (;;) {
    if (!isPaused && !document.hidden) {
      try {
        await look();
        since = undefined;
        say('Live', 'live');
      } catch (error) {
        since ??= new Date().toLocaleTimeString([], { hour12: false });
        say(error instanceof Refusal ? error.message : `No answer since ${since}: what you see is old`, 'stale');
      }
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}

function setUpPause(): void {
  const button = byId('pause');
  button.addEventListener('click', () => {
    isPaused = !isPaused;
    setAttribute(button, 'aria-pressed', String(isPaused));
    if (isPaused) say('Paused', 'paused');
  });
}

setUpTheme();
setUpPause();
setUpTrace();
whose.addEventListener('input', showChart);
flowOrder.addEventListener('input', () => void askFlows(flowOrder.value).then((answer) => flows.show(answer)));
void askSettings().then(({ version, reload }) => {
  setText(byId('version'), version);
  if (reload) setUpReload(() => void askRoutes().then((answer) => routes.show(answer)));
});
void run();
