/** The head of the page, and its tiles: the gateway as a whole. */
import type { GatewayStatus } from '../../gateway/status.ts';
import { byId, drawState, setText } from './dom.ts';
import { latest } from './history.ts';
import type { History } from './history.ts';
import { stateOf } from './states.ts';
import { formatBits, formatCount, formatPerSecond, formatSeconds, formatShare } from './units.ts';

export function showOverview(status: GatewayStatus, history: History): void {
  const { gateway, peers, flows } = status;
  setText(byId('gateway'), gateway);
  setText(document.querySelector('title')!, `${gateway}: Isthmus`);
  drawState(
    byId('listening'),
    status.listening ? { level: 'good', word: 'listening' } : { level: 'bad', word: 'not listening' },
  );
  const facts = [
    `${status.interface}, UDP port ${status.port}`,
    `MTU ${status.mtu}`,
    `up ${formatSeconds(status.uptime_s)}`,
    `sealing by ${status.aead}`,
  ];
  setText(byId('facts'), facts.join(' · '));

  const up = peers.filter((peer) => stateOf(peer).level === 'good').length;
  setText(byId('tile-peerings'), `${up} of ${peers.length} up`);
  setText(byId('tile-in'), formatBits(latest(history.total.rx)));
  setText(byId('tile-out'), formatBits(latest(history.total.tx)));
  setText(byId('tile-drops'), `${formatPerSecond(latest(history.drops))} /s`);
  setText(byId('tile-flows'), formatCount(flows.tracked));
  setText(byId('tile-flows-room'), `of ${formatCount(flows.capacity)}`);
  setText(byId('tile-cpu'), formatShare(history.busy('outbound')));
  setText(byId('tile-cpu-in'), `inbound ${formatShare(history.busy('inbound'))}`);
}
