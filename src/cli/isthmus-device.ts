#!/usr/bin/env node
/** `isthmus device` under a name of its own, for callers that take a program and no arguments, such as `wg-quick`. */
import { device } from './device.ts';

process.exitCode = await device(process.argv.slice(2));
