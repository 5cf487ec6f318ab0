// Pages that arrive in pieces: what comes first is shown before the rest has been sent.

import assert from 'node:assert/strict';
import { fresh, Watcher } from '../browser.mjs';
import { check } from '../report.mjs';
import { until } from '../until.mjs';

export async function streams({ router, browser, shots }) {
  const context = await fresh(browser);
  const page = await context.newPage();
  // The same visitor's other tab.
  const open = async (path) => assert.equal((await context.request.post(router.origin + path)).status(), 200);

  await check('legacy\'s streamed page is shown chunk by chunk', async () => {
    await page.goto(`${router.origin}/stream?key=old`, { waitUntil: 'commit' });
    await page.locator('#chunk-1').waitFor();
    assert.equal(await page.locator('#chunk-2').count(), 0);
    await open('/stream?key=old-1');
    await page.locator('#chunk-2').waitFor();
    assert.equal(await page.locator('#chunk-3').count(), 0);
    await open('/stream?key=old-2');
    await page.locator('#end').waitFor();
  });

  await check('Next.js streams a Suspense page: the fallback first, then the rest in the same answer', async () => {
    await router.ramp(100);
    const watcher = new Watcher(page);
    await page.goto(`${router.origin}/courses/rust/stream?key=fresh`, { waitUntil: 'commit' });
    await page.locator('#waiting').waitFor();
    assert.equal(await page.locator('#last').count(), 0);
    await page.screenshot({ path: shots('streaming') });
    await open('/courses/rust/release?key=fresh');
    await page.getByText('And here is the rest.').waitFor();
    assert.equal(await page.locator('#waiting').count(), 0);
    watcher.expectWhole('new');
  });

  await check('a visitor who leaves in the middle ends the stream at the backend too', async () => {
    await page.goto(`${router.origin}/stream?key=gone`, { waitUntil: 'commit' });
    await page.locator('#chunk-1').waitFor();
    const still = async () => (await context.request.get(`${router.origin}/open`)).json();
    await until('one stream is open', async () => (await still()).streams === 1);
    await page.goto(`${router.origin}/`);
    await until('the backend sees the visitor leave', async () => (await still()).streams === 0);
  });
  await context.close();
}
