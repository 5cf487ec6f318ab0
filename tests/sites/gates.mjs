// Named gates: whoever streams waits at one, whoever watches opens it. No clock decides what a test sees first.

/** Longest wait at a gate, in milliseconds: a watcher that died must not leave answers open for ever. */
const WAIT_MS_MAX = 20_000;

// One map for the whole process: a Next.js page and its API route are bundled apart from each other.
const gates = (globalThis.__gates ??= new Map());

function gate(name) {
  if (!gates.has(name)) {
    let open;
    const opened = new Promise((resolve) => { open = resolve; });
    gates.set(name, { open, opened });
  }
  return gates.get(name);
}

/** Waits until somebody opens the gate; `false` when nobody did in time. */
export async function waitAt(name) {
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(resolve, WAIT_MS_MAX, false); });
  try {
    return await Promise.race([gate(name).opened.then(() => true), late]);
  } finally {
    clearTimeout(timer);
    gates.delete(name);
  }
}

/** Opens the gate, also for those who have yet to come. */
export function open(name) {
  gate(name).open();
}
