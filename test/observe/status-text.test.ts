import test from 'ava';
import { formatStatus } from '../../src/observe/status-text.ts';
import { STATUS } from './samples.ts';

test('the status tells of each peer, and where none is, where to look for those that were requested', (t) => {
  const text = formatStatus(STATUS);
  t.regex(text, /^peer beijing\n {2}endpoint {3}203\.0\.113\.7:51820\n {2}handshake {2}12 s ago, aes-256-gcm\n/m);
  t.notRegex(text, /no peering/);
  t.regex(
    formatStatus({ ...STATUS, peers: [] }),
    /^no peering carries packets: isthmus peering list shows requested ones$/m,
  );
});
