// The Python provider, in an environment that tests/run made.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { check } from '../../sites/proof/report.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

export async function inPython(world) {
  await check('Python provider: values, reasons and errors', async () => {
    const python = here('../.venv/bin/python');
    const { stdout } = await promisify(execFile)(python, [here('../ask.py'), world.inside], { timeout: 20_000 });
    assert.deepEqual(JSON.parse(stdout), {
      truth: [true, 'on', 'STATIC', null],
      number: [3, 'three', 'STATIC', null],
      object: [{ a: [1, 2] }, 'deep', 'STATIC', null],
      gold: ['new', 'new', 'TARGETING_MATCH', null],
      none: ['mine', null, 'ERROR', 'FLAG_NOT_FOUND'],
      mistyped: [7, null, 'ERROR', 'TYPE_MISMATCH'],
    });
  });
}
