// Waiting for a condition, never for a time.

import { setTimeout as pause } from 'node:timers/promises';

/** Between two looks, in milliseconds. */
const LOOK_MS = 10;

/** Asks until the answer is truthy, and gives it; throws with `what` and the last error when `limitMs` is over. */
export async function until(what, ask, limitMs = 10_000) {
  const end = Date.now() + limitMs;
  for (;;) {
    let last;
    try {
      const answer = await ask();
      if (answer) return answer;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}${last ? ` (${last.message})` : ''}`);
    await pause(LOOK_MS);
  }
}
