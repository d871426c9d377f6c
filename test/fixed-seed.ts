// Loaded before every test file (ava.config.js): property tests draw the same cases each time, so that a failure is
// there to be looked at again. `SEED=$RANDOM npx ava` tries others.
import fc from 'fast-check';

fc.configureGlobal({ seed: Number(process.env['SEED'] ?? 1) });
