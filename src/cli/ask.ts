/** Asking a running gateway, by its local API. */
import { readdirSync } from 'node:fs';
import { callApi, postApi, streamApi } from '../control/api.ts';
import { ERRORS, IsthmusError } from '../gateway/errors.ts';
import type { ErrorCode } from '../gateway/errors.ts';
import { RUN_FOLDER } from '../gateway/host.ts';

/**
 * The answer of the gateway on interface `name`, or of the only one that runs here, to a call such as `GET /v1/status`.
 * Throws an `IsthmusError`: `ISTHMUS_NO_GATEWAY`, or what the gateway answers instead.
 */
export async function askGateway(name: string | undefined, method: 'GET' | 'POST', call: string): Promise<unknown> {
  const path = socketOf(name);
  return bodyOf(await callApi(path, method, call).catch((error: unknown) => fail(path, error)));
}

/** The same for a call such as `/v1/peerings/accept`, that comes with JSON. */
export async function tellGateway(name: string | undefined, call: string, body: object): Promise<unknown> {
  const path = socketOf(name);
  return bodyOf(await postApi(path, call, body).catch((error: unknown) => fail(path, error)));
}

/** The lines of the answer to a call such as `/v1/trace/live`, as they come. Throws as `askGateway` does. */
export async function* followGateway(name: string | undefined, call: string): AsyncGenerator {
  const path = socketOf(name);
  try {
    for await (const answer of streamApi(path, call)) yield bodyOf(answer);
  } catch (error) {
    if (error instanceof IsthmusError) throw error;
    fail(path, error);
  }
}

function socketOf(name: string | undefined): string {
  return `${RUN_FOLDER}/${name ?? onlyGateway()}.sock`;
}

function bodyOf({ status, body }: { status: number; body: unknown }): unknown {
  if (status === 200) return body;
  const { code, message } = body as { code: string; message: string };
  throw new IsthmusError(Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'ISTHMUS_INTERNAL', message);
}

function fail(path: string, error: unknown): never {
  const { code, message } = error as NodeJS.ErrnoException;
  const advice = code === 'EACCES' ? 'run as root' : 'is it running? start it with isthmus up FILE';
  throw new IsthmusError('ISTHMUS_NO_GATEWAY', `no gateway answers at ${path} (${code ?? message}): ${advice}`);
}

function onlyGateway(): string {
  const names = listSockets().map((file) => file.slice(0, -'.sock'.length));
  if (names.length === 1) return names[0];
  const found =
    names.length === 0
      ? 'no gateway runs here; start one with isthmus up FILE'
      : `several gateways run here: ${names.join(', ')}; name its interface (peering, audit: --gateway; doctor: its file)`;
  throw new IsthmusError('ISTHMUS_NO_GATEWAY', found);
}

function listSockets(): string[] {
  try {
    return readdirSync(RUN_FOLDER).filter((file) => file.endsWith('.sock'));
  } catch {
    return [];
  }
}
