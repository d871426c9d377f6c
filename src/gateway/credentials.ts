/** The identities under which a peering shakes hands. */
import { readFileSync } from 'node:fs';
import { derivePeering, publicKey } from '../noise/psk.ts';
import type { CipherName } from '../noise/cipher.ts';
import type { Credential, Lookalike } from '../session/identities.ts';
import type { Peer } from '../session/peer.ts';
import type { PeeringConfig } from './config.ts';

/** The identities of a peering, the one to try first in front. */
export function credentialsOf({ keys }: PeeringConfig): Credential[] {
  if (keys.kind === 'plain') {
    const { privateKey: localPrivate, publicKey: remotePublic, presharedKey } = keys;
    return [{ cipher: 'chacha20-poly1305', localPrivate, remotePublic, presharedKey }];
  }
  const bySpeed = hasAesInstructions()
    ? (['aes-256-gcm', 'chacha20-poly1305'] as const)
    : (['chacha20-poly1305', 'aes-256-gcm'] as const);
  const ciphers = keys.cipher === 'auto' ? bySpeed : [keys.cipher];
  const derive = (psk: Uint8Array, isNext: boolean): Credential[] =>
    ciphers.map((cipher) => {
      const { server, client, presharedKey } = derivePeering(psk, cipher);
      const [local, remote] = keys.role === 'server' ? [server, client] : [client, server];
      const remotePublic = publicKey(remote);
      const lookalikes: Lookalike[] = [{ publicKey: remotePublic, reason: 'same-role' }];
      if (keys.cipher !== 'auto') {
        const other = derivePeering(psk, OTHER_CIPHER[cipher])[keys.role];
        lookalikes.push({ publicKey: publicKey(other), reason: 'other-cipher' });
      }
      return { cipher, localPrivate: local, remotePublic, presharedKey, isNext, lookalikes };
    });
  return [...derive(keys.psk, false), ...(keys.next === undefined ? [] : derive(keys.next, true))];
}

/** The identity that the peer last used, or would try first. */
export function credentialOf(peer: Peer): Credential {
  return peer.credential ?? peer.credentials[0];
}

/** Whether two configurations of a peering give it the same identities. */
export function sameKeys(a: PeeringConfig['keys'], b: PeeringConfig['keys']): boolean {
  const none = new Uint8Array(0);
  const same = (x: Uint8Array = none, y: Uint8Array = none): boolean => Buffer.compare(x, y) === 0;
  if (a.kind === 'plain' && b.kind === 'plain') {
    return same(a.privateKey, b.privateKey) && same(a.publicKey, b.publicKey) && same(a.presharedKey, b.presharedKey);
  }
  return (
    a.kind === 'psk' &&
    b.kind === 'psk' &&
    a.role === b.role &&
    a.cipher === b.cipher &&
    same(a.psk, b.psk) &&
    same(a.next, b.next)
  );
}

/** Whether a session may go on from one to the other: the same keys of both ends under the same cipher. */
function sameIdentity(a: Credential, b: Credential): boolean {
  return (
    a.cipher === b.cipher &&
    Buffer.compare(a.localPrivate, b.localPrivate) === 0 &&
    Buffer.compare(a.remotePublic, b.remotePublic) === 0
  );
}

/** Gives peers other identities. One may go from one peer to another: all that are given up go first. */
export function changeKeys(changes: readonly { peer: Peer; credentials: Credential[] }[]): void {
  for (const { peer, credentials } of changes) {
    peer.setCredentials(peer.credentials.filter((held) => credentials.some((each) => sameIdentity(each, held))));
  }
  for (const { peer, credentials } of changes) {
    peer.setCredentials(credentials);
    if (credentials.some(({ isNext }) => isNext)) peer.renewSoon();
  }
}

const OTHER_CIPHER: Readonly<Record<CipherName, CipherName>> = {
  'aes-256-gcm': 'chacha20-poly1305',
  'chacha20-poly1305': 'aes-256-gcm',
};

let aes: boolean | undefined;

function hasAesInstructions(): boolean {
  return (aes ??= /^(flags|Features)\s*:.*\baes\b/m.test(readFileSync('/proc/cpuinfo', 'utf8')));
}
