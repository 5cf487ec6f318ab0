// Browses two generations of one site in Chromium, through the real binary:  node browse.mjs PATH-TO-BANYAN
//
// One line for each check, then `N passed, N failed`; exit code 1 when anything failed. Nothing it starts outlives it.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from './proof/browser.mjs';
import { startApp } from './proof/children.mjs';
import { check, close } from './proof/report.mjs';
import { Router } from './proof/router.mjs';
import { cache } from './proof/scenes/cache.mjs';
import { failure } from './proof/scenes/failure.mjs';
import { flagAtEnds, flagBetween, flagUnderAnOpenPage } from './proof/scenes/flag.mjs';
import { forms } from './proof/scenes/forms.mjs';
import { live } from './proof/scenes/live.mjs';
import { manager } from './proof/scenes/manager.mjs';
import { pictures } from './proof/scenes/pictures.mjs';
import { rooms } from './proof/scenes/rooms.mjs';
import { streams } from './proof/scenes/streams.mjs';
import { transport } from './proof/scenes/transport.mjs';

/** Longest run, in milliseconds. */
const RUN_MS_MAX = 240_000;
const SCENES = { transport, flagAtEnds, flagBetween, flagUnderAnOpenPage, forms, live, streams, failure, pictures, manager, rooms, cache };

const here = dirname(fileURLToPath(import.meta.url));
const [binary, only] = process.argv.slice(2);
if (!binary || !existsSync(binary)) {
  console.error('usage: node browse.mjs PATH-TO-BANYAN [SCENE,…]');
  process.exit(2);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));
setTimeout(() => {
  console.log(`not ok - the whole run ends within ${RUN_MS_MAX / 1000} s`);
  process.exit(1);
}, RUN_MS_MAX).unref();

const pictureFolder = process.env.SCREENSHOTS ?? join(here, '..', '..', 'target', 'screenshots');
mkdirSync(pictureFolder, { recursive: true });

const router = new Router(resolve(binary));
const startNew = () => startApp('new', join(here, 'new', 'server.mjs'));
const startLegacy = () => startApp('legacy', join(here, 'legacy', 'server.mjs'));
const world = { router, startNew, shots: (name) => join(pictureFolder, `${name}.png`) };

await check('both applications and the router start', async () => {
  const [legacy, next, browser] = await Promise.all([startLegacy(), startNew(), launch()]);
  Object.assign(world, { apps: { legacy, fresh: next }, browser });
  router.saveEdge();
  router.saveRoutes({ legacy: legacy.address, fresh: next.address });
  router.saveFlag(0);
  await router.start();
  return router.origin;
});
if (world.browser && router.ports.https > 0) {
  for (const [name, scene] of Object.entries(SCENES)) {
    if (only && !only.split(',').includes(name)) continue;
    const began = performance.now();
    try {
      await scene(world);
    } catch (error) {
      await check(`scene ${name} could be played`, () => { throw error; });
    }
    console.log(`# ${name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
    for (const context of world.browser.contexts()) await context.close();
  }
  await check('the router is still there, and complained of nothing but what was broken on purpose', () => {
    assert.equal(router.program.ended, null);
    assert.deepEqual(router.complaints(), []);
  });
}
if (process.env.SHOW_LOG) console.log(router.logs.flat().map((line) => `# ${line}`).join('\n'));
process.exit(close());
