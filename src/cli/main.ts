#!/usr/bin/env node
import { CommanderError } from 'commander';
import { EXIT, IsthmusError } from '../gateway/errors.ts';
import { complaintPrefix } from './log.ts';
import { createProgram } from './program.ts';

/** Says what went wrong, once, and gives the exit code. */
function exitCodeFor(error: unknown): number {
  // Commander has printed its own text, and help that was asked for is no failure.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
  if (error instanceof IsthmusError) {
    // The faults of a file have their codes in the text.
    const isCoded = error.message.includes('(ISTHMUS_');
    complain(isCoded ? error.message : `isthmus: ${error.message} (${error.code})`);
    return error.exitCode;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  complain(`isthmus: a fault of the program itself (ISTHMUS_INTERNAL): ${text}`);
  return EXIT.software;
}

/** Writes to standard error, each line with its priority where the journal reads it. */
function complain(text: string): void {
  const prefix = complaintPrefix();
  process.stderr.write(`${text.replace(/^/gm, prefix)}\n`);
}

// A reader that has seen enough, such as head, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  await (await createProgram(process.argv[2])).parseAsync(process.argv);
} catch (error) {
  process.exitCode = exitCodeFor(error);
}
