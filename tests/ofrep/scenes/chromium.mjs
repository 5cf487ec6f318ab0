// The web provider in Chromium, on the public host: visitor and side are those of the cookie.

import assert from 'node:assert/strict';
import { fresh } from '../../sites/proof/browser.mjs';
import { check } from '../../sites/proof/report.mjs';

const shown = (page, key, value) => page.waitForFunction(
  ([id, wanted]) => document.getElementById(id)?.value === wanted,
  [key, value],
  { timeout: 10_000, polling: 10 },
);

export async function inChromium(world) {
  const { origin } = world.router;
  await check('Chromium: a page is told the side that routing gives its visitor', async () => {
    const sides = new Set();
    for (let n = 0; n < 12 && sides.size < 2; n += 1) {
      const context = await fresh(world.browser);
      const page = await context.newPage();
      await page.goto(`${origin}/side`);
      const side = await page.title();
      await page.goto(`${origin}/flags`);
      await shown(page, 'half', side);
      sides.add(side);
      await context.close();
    }
    assert.equal(sides.size, 2, 'both sides occur');
  });
  await check('Chromium: an open page sees a change within a second, and one after a restart without being loaded again', async () => {
    const context = await fresh(world.browser);
    const page = await context.newPage();
    await page.goto(`${origin}/side`);
    await page.goto(`${origin}/flags`);
    await shown(page, 'ramp', 'legacy');
    await page.evaluate(() => { window.sameDocument = true; });
    const change = async (share, value) => {
      const began = performance.now();
      await Promise.all([world.ramp(share), shown(page, 'ramp', value)]);
      return performance.now() - began;
    };
    const first = await change(100, 'new');
    assert.ok(first < 1000, `${first} ms`);
    await world.router.restart();
    await change(0, 'legacy');
    assert.equal(await page.evaluate(() => window.sameDocument), true);
    await context.close();
    return `${first.toFixed(0)} ms`;
  });
}
