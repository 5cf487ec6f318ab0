// One line for each check, and what became of them all.

let passed = 0;
let failed = 0;

/** Runs one check: `ok - name` when it returns (what it returns, if a text, is told as well), `not ok - name` when it throws. */
export async function check(name, run) {
  try {
    const told = await run();
    passed += 1;
    console.log(`ok - ${name}${typeof told === 'string' ? ` (${told})` : ''}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok - ${name}: ${String(error?.message ?? error).trim().split('\n').slice(0, 12).join(' | ')}`);
  }
}

/** The closing line; the exit code. */
export function close() {
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}
