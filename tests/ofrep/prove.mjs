// Drives OpenFeature's own clients against the real binary:  node prove.mjs PATH-TO-BANYAN
//
// One line for each check, then `N passed, N failed`; exit code 1 when anything failed. Nothing it starts outlives it.
// The browser and what starts programs are those of ../sites, which is installed first.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { launch } from '../sites/proof/browser.mjs';
import { check, close } from '../sites/proof/report.mjs';
import { Router } from '../sites/proof/router.mjs';
import { inChromium } from './scenes/chromium.mjs';
import { inPython } from './scenes/python.mjs';
import { inServers } from './scenes/servers.mjs';
import { polling, streaming } from './scenes/web.mjs';
import { startPages } from './pages.mjs';

/** Longest run, in milliseconds. */
const RUN_MS_MAX = 120_000;

const binary = process.argv[2];
if (!binary || !existsSync(binary)) {
  console.error('usage: node prove.mjs PATH-TO-BANYAN');
  process.exit(2);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));
setTimeout(() => {
  console.log(`not ok - the whole run ends within ${RUN_MS_MAX / 1000} s`);
  process.exit(1);
}, RUN_MS_MAX).unref();

const router = new Router(resolve(binary));

/** A flag of two sides; `share` percent get the new one. */
const twoSides = (share, more = '') => `public = true
${more}variants = ["legacy", "new"]
default = "legacy"
[rollout]
new = ${share.toFixed(1)}`;

const world = {
  router,
  /** Sets the share of the flag that changes; resolves when the router has taken it. */
  ramp: (share) => router.change(() => router.save('flags/ramp.toml', twoSides(share))),
  get inside() { return `http://127.0.0.1:${router.ports.private}`; },
};

await check('the pages, the browser and the router start', async () => {
  const [pages, browser] = await Promise.all([startPages(), launch()]);
  Object.assign(world, { pages, browser });
  router.saveEdge();
  router.save('routes/legacy.toml', `squad = "legacy"
[backends.legacy]
servers = ["${pages.legacy}"]
[backends.new]
servers = ["${pages.fresh}"]
[[routes]]
path = "/side"
flag = "half"
backends = { legacy = "legacy", new = "new" }
[[routes]]
path = "/*"
backend = "legacy"`);
  router.save('flags/half.toml', twoSides(50));
  router.save('flags/ramp.toml', twoSides(0));
  router.save('flags/off.toml', twoSides(100, 'state = "disabled"\n'));
  router.save('flags/number.toml', 'default = "three"\n[variants]\nthree = 3\nfour = 4');
  router.save('flags/truth.toml', 'default = "on"\n[variants]\non = true\noff = false');
  router.save('flags/object.toml', 'default = "deep"\n[variants]\ndeep = { a = [1, 2] }\nempty = {}');
  router.save('flags/plan.toml', `variants = ["legacy", "new"]
default = "legacy"
[metadata]
owner = "release"
[[rules]]
if = { "==" = [{ var = "tier" }, "gold"] }
serve = "new"`);
  await router.start();
  return router.origin;
});
if (world.browser && router.ports.https > 0) {
  for (const scene of [polling, streaming, inServers, inPython, inChromium]) {
    try {
      await scene(world);
    } catch (error) {
      await check(`${scene.name} could be played`, () => { throw error; });
    }
  }
}
await world.browser?.close();
process.exit(close());
