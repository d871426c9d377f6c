import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import nacl from 'tweetnacl';
import { IsthmusError } from '../gateway/errors.ts';
import { decodeKey, encodeKey, publicKey } from '../gateway/secrets.ts';
import { clamp } from '../noise/psk.ts';
import { printSecret } from './output.ts';

const KEY_BYTES = 32;

export function genpsk(): Command {
  return new Command('genpsk')
    .summary('print a new pre-shared key')
    .description(
      'Prints a new pre-shared key of 256 random bits, in base64: all there is to share between two gateways.',
    )
    .addHelpText('after', '\nExample:\n  (umask 077; isthmus genpsk > beijing.psk)')
    .action(() => {
      printSecret(`${encodeKey(nacl.randomBytes(KEY_BYTES))}\n`);
    });
}

export function genkey(): Command {
  return new Command('genkey')
    .summary('print a new private key')
    .description(
      'Prints a new private key in base64, as wg genkey does, for peers given by public keys in place of a PSK.',
    )
    .addHelpText('after', '\nExample:\n  (umask 077; isthmus genkey | tee private.key | isthmus pubkey > public.key)')
    .action(() => {
      printSecret(`${encodeKey(clamp(nacl.randomBytes(KEY_BYTES)))}\n`);
    });
}

export function pubkey(): Command {
  return new Command('pubkey')
    .summary('print the public key of a private key')
    .description('Reads a private key from standard input and prints its public key, as wg pubkey does.')
    .addHelpText('after', '\nExample:\n  isthmus pubkey < private.key')
    .action(() => {
      process.stdout.write(`${encodeKey(publicKey(privateKeyFrom(readFileSync(0, 'utf8'))))}\n`);
    });
}

function privateKeyFrom(text: string): Uint8Array {
  try {
    return decodeKey(text);
  } catch {
    throw new IsthmusError('ISTHMUS_KEY_FORMAT', 'standard input holds no key; wanted 44 characters of base64');
  }
}
