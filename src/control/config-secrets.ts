import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import nacl from 'tweetnacl';
import { IsthmusError } from '../gateway/errors.ts';
import { decodeKey, decodePsk, decodeToken, publicKey, readSecretFile } from '../gateway/secrets.ts';
import type { SecretText } from '../gateway/secrets.ts';
import type { Entry, Report } from './config-raw.ts';
import { formatPath, get, members, valid } from './config-raw.ts';
import type { SecretSource } from './config-schema.ts';
import { secretSource } from './config-schema.ts';
import * as text from './config-text.ts';
import type { Path, Position } from './config-yaml.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface SecretOptions {
  /** Relative paths of secret files start here. */
  readonly directory: string;
  readonly environment: Environment;
  /** Mode of the configuration file when others may read it, which a secret written in it must not allow. */
  readonly exposedMode: string | undefined;
  /** When the configuration file was last written: ms since 1970. */
  readonly writtenAt: number | undefined;
  readonly locate: (path: Path) => Position;
  readonly report: Report;
}

export interface Secret {
  readonly bytes: Uint8Array;
  /** When the file that it stands in was last written: ms since 1970. */
  readonly writtenAt: number | undefined;
}

/** Every secret in the file, by the text of its path. */
export type Secrets = ReadonlyMap<string, Secret>;

/** Fetches every secret that the file names and checks that each peering has keys, of one kind, its own. */
export function resolveSecrets(root: unknown, options: SecretOptions): Secrets {
  const secrets = new Map<string, Secret>();
  const take = (path: Path, value: unknown, decode: (text: string) => Uint8Array): Uint8Array | undefined => {
    const source = valid(secretSource, value);
    if (source === undefined) return undefined;
    if (source.from === 'text' && options.exposedMode !== undefined) {
      const wanted = 'wanted 0600, or the secret in a file of its own: {file: PATH}';
      options.report(
        path,
        'ISTHMUS_SECRET_EXPOSED',
        `the secret stands in a file of mode ${options.exposedMode}; ${wanted}`,
      );
    }
    try {
      const { text: written, writtenAt } = fetchText(source, options);
      const bytes = decode(written);
      secrets.set(formatPath(path), { bytes, writtenAt });
      return bytes;
    } catch (error) {
      if (!(error instanceof IsthmusError)) throw error;
      options.report(path, error.code, error.message);
      return undefined;
    }
  };

  take(['gateway', 'metrics', 'token'], get(get(get(root, 'gateway'), 'metrics'), 'token'), decodeToken);
  const ownKey = take(['gateway', 'private_key'], get(get(root, 'gateway'), 'private_key'), decodeKey);
  const peerings = members(get(root, 'peerings'), ['peerings']);
  const psks: Entry[] = [];
  const publicKeys: Entry[] =
    ownKey === undefined ? [] : [{ path: ['gateway', 'private_key'], value: publicKey(ownKey) }];
  for (const { path, value } of peerings) {
    checkKinds(root, path, value, options.report);
    take([...path, 'preshared_key'], get(value, 'preshared_key'), decodeKey);
    const psk = take([...path, 'psk'], get(value, 'psk'), decodePsk);
    if (psk !== undefined) psks.push({ path: [...path, 'psk'], value: psk });
    const next = take([...path, 'next'], get(value, 'next'), decodePsk);
    if (next !== undefined) psks.push({ path: [...path, 'next'], value: next });
    const peerKey = valid(text.publicKey, get(value, 'public_key'));
    if (peerKey !== undefined) publicKeys.push({ path: [...path, 'public_key'], value: peerKey });
  }
  checkDistinct(psks, options, 'ISTHMUS_SECRET_SHARED', 'the PSK');
  checkDistinct(publicKeys, options, 'ISTHMUS_CONFIG_DUPLICATE', 'the public key');
  return secrets;
}

function fetchText(source: SecretSource, { directory, environment, writtenAt }: SecretOptions): SecretText {
  switch (source.from) {
    case 'file':
      // A secret given for the path of its file would be shown as the file that is not there.
      if (text.isLikeASecret(source.path) && !existsSync(resolve(directory, source.path))) {
        throw new IsthmusError('ISTHMUS_SECRET_UNREADABLE', 'the file does not exist');
      }
      return readSecretFile(resolve(directory, source.path));
    case 'environment': {
      const value = environment[source.variable];
      if (value !== undefined && value !== '') return { text: value, writtenAt: undefined };
      throw new IsthmusError(
        'ISTHMUS_SECRET_ENVIRONMENT',
        `the environment variable ${text.shown(source.variable)} is not set`,
      );
    }
    case 'text':
      return { text: source.text, writtenAt };
  }
}

/** A peering lives by a PSK with a role, or by a public key with the gateway's private one. */
function checkKinds(root: unknown, path: Path, peering: unknown, report: Report): void {
  const has = (key: string): boolean => get(peering, key) !== undefined;
  const refuse = (key: string, message: string): void => {
    if (has(key)) report([...path, key], 'ISTHMUS_CONFIG_KEYS', message, 'key');
  };
  if (has('psk')) {
    if (!has('role')) {
      const message = 'is missing; wanted server here and client at the peer, or the reverse';
      report([...path, 'role'], 'ISTHMUS_CONFIG_MISSING', message);
    }
    refuse('public_key', 'public_key beside psk; wanted one of the two');
    refuse('preshared_key', 'preshared_key beside psk, which stands for all keys; wanted it with public_key');
  } else if (has('public_key')) {
    refuse('next', 'next beside public_key; wanted it with psk, which it is to take the place of');
    refuse('role', 'role tells the two identities of a psk apart; wanted none with public_key');
    if (get(get(root, 'gateway'), 'private_key') === undefined) {
      const message = 'public_key needs a private key of our own; wanted gateway.private_key';
      report([...path, 'public_key'], 'ISTHMUS_CONFIG_KEYS', message, 'key');
    }
    if (get(peering, 'cipher') === 'aes-256-gcm') {
      const message =
        'aes-256-gcm with public_key; wanted chacha20-poly1305, which WireGuard peers speak, or no cipher';
      report([...path, 'cipher'], 'ISTHMUS_CONFIG_CIPHER', message);
    }
  } else if (peering !== null && typeof peering === 'object') {
    report(path, 'ISTHMUS_CONFIG_KEYS', 'the peering has no keys; wanted psk, or public_key');
  }
}

function checkDistinct(
  entries: Entry[],
  { locate, report }: SecretOptions,
  code: 'ISTHMUS_SECRET_SHARED' | 'ISTHMUS_CONFIG_DUPLICATE',
  what: string,
): void {
  for (const [index, { path, value }] of entries.entries()) {
    const twin = entries.slice(0, index).find((earlier) => sameBytes(earlier.value as Uint8Array, value as Uint8Array));
    if (twin === undefined) continue;
    const { line } = locate(twin.path);
    report(
      path,
      code,
      `${what} is that of ${formatPath(twin.path)} (line ${line}); wanted one of its own for each peering`,
    );
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && nacl.verify(a, b);
}
