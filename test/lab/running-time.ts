// Time as a machine lives it that stands still now and then, because others have it or it is itself a guest.

/** Milliseconds between looks at the clock. */
const BEAT = 50;
/** What lies between two looks counts as this at most, in milliseconds: the rest is a time in which nothing ran. */
const LONGEST = 4 * BEAT;

/** Begins to count; gives the seconds since then without those in which this process did not run. */
export function runningTime(): () => number {
  let [elapsed, last] = [0, performance.now()];
  const look = (): number => {
    const now = performance.now();
    elapsed += Math.min(now - last, LONGEST);
    last = now;
    return elapsed / 1000;
  };
  setInterval(look, BEAT).unref();
  return look;
}
