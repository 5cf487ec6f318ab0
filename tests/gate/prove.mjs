// Signs people in, out and in again with Chromium, at the npm `oidc-provider`, through the real binary:  node prove.mjs PATH-TO-BANYAN [SCENE,…]
//
// One line for each check, then `N passed, N failed`; exit code 1 when anything failed. Nothing it starts outlives it.
// The browser and what starts programs are those of ../sites, which is installed first.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from '../sites/proof/browser.mjs';
import { check, close } from '../sites/proof/report.mjs';
import { startApp } from './app.mjs';
import { IdentityProvider } from './provider.mjs';
import { away } from './scenes/away.mjs';
import { checks } from './scenes/checks.mjs';
import { signIn, tabs } from './scenes/sign_in.mjs';
import { signOut } from './scenes/sign_out.mjs';
import { stepUp } from './scenes/step_up.mjs';
import { Site } from './site.mjs';

/** Longest run, in milliseconds. */
const RUN_MS_MAX = 170_000;
const SCENES = { signIn, tabs, checks, stepUp, signOut, away };

const [binary, only] = process.argv.slice(2);
if (!binary || !existsSync(binary)) {
  console.error('usage: node prove.mjs PATH-TO-BANYAN [SCENE,…]');
  process.exit(2);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));
setTimeout(() => {
  console.log(`not ok - the whole run ends within ${RUN_MS_MAX / 1000} s`);
  process.exit(1);
}, RUN_MS_MAX).unref();

const here = dirname(fileURLToPath(import.meta.url));
const pictures = process.env.SCREENSHOTS ?? join(here, '..', '..', 'target', 'screenshots');
mkdirSync(pictures, { recursive: true });

const [site, idp] = [new Site(resolve(binary)), new IdentityProvider()];
const world = {
  site,
  idp,
  /** Takes a picture for people to look at. */
  picture: (page, name) => page.screenshot({ path: join(pictures, `gate-${name}.png`) }),
};

await check('the provider, the application, the browser and the router start', async () => {
  const [app, browser] = await Promise.all([startApp(), launch(), idp.start()]);
  Object.assign(world, { app, browser });
  site.saveSite(idp.issuer, app.address);
  await site.start();
  idp.serve(site.origin, () => site.authority);
  return `${site.origin}, ${idp.issuer}`;
});
if (world.browser && site.ports.https > 0) {
  for (const [name, scene] of Object.entries(SCENES)) {
    if (only && !only.split(',').includes(name)) continue;
    try {
      await scene(world);
    } catch (error) {
      await check(`scene ${name} could be played`, () => { throw error; });
    }
    for (const context of world.browser.contexts()) await context.close();
  }
  await check('no token, code, state or cookie is in any line that the router wrote', async () => {
    const text = [site.accessLog.join('\n'), site.logs.flat().join('\n')].join('\n');
    assert.doesNotMatch(text, /(code|state|nonce)=[\w-]{8}|eyJ|__Host-banyan-session=/);
    assert.equal(site.program.ended, null);
  });
}
await world.browser?.close();
if (process.env.SHOW_LOG) console.log(site.logs.flat().map((line) => `# ${line}`).join('\n'));
process.exit(close());
