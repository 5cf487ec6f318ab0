// What an operator does on the page of the cache: see what it is good for, and purge.

import assert from 'node:assert/strict';
import { fresh } from '../browser.mjs';
import { check } from '../report.mjs';
import { until } from '../until.mjs';
import { LOOKS, Other, open, signIn } from './manager.mjs';

/** A visitor who has nothing yet looks at the front page, and gets its pictures and styles from the cache or through it. */
async function visit(browser, router) {
  const context = await fresh(browser);
  const page = await context.newPage();
  const told = [];
  page.on('response', (answer) => {
    if (answer.url().includes('/static/')) told.push(answer.headers()['cache-status'] ?? '');
  });
  await page.goto(`${router.origin}/`, { waitUntil: 'networkidle' });
  await context.close();
  return told;
}

const state = async (router) => (await fetch(`http://127.0.0.1:${router.ports.admin}/api/cache`)).json();

async function purging(context, router) {
  const { page, watcher } = await open(context, router, '/cache');
  const said = page.locator('#said');
  const button = page.locator('#purge-now');
  const names = page.locator('[name=names]');
  await page.locator('#purge').waitFor();
  await check('a double click, a key that is held down too shortly, and Enter in a field purge nothing', async () => {
    const before = (await state(router)).recent.length;
    await names.fill('/static/*');
    await names.press('Enter');
    await button.dblclick();
    await button.press('Escape');
    await button.focus();
    await page.keyboard.down('Enter');
    await page.keyboard.up('Enter');
    await button.press('Escape');
    assert.equal((await state(router)).recent.length, before);
    assert.equal((await button.textContent()).trim(), 'Purge');
  });
  await check('holding for a second purges, for the next request, and says who and why', async () => {
    await page.locator('[name=reason]').fill('new pictures');
    await page.locator('[name=hard]').check();
    await button.hover();
    await page.mouse.down();
    await said.getByText('Purged /static/* for good.').waitFor();
    await page.mouse.up();
    const [newest] = (await state(router)).recent;
    assert.deepEqual([newest.what, newest.hard, newest.reason], [['/static/*'], true, 'new pictures']);
    await page.locator('#cache-purges').getByText('new pictures').waitFor();
  });
  await check('two presses of a key purge as well; what makes no sense is refused in words', async () => {
    await names.fill('static');
    await button.focus();
    await page.keyboard.press('Enter');
    await page.getByText('Press again to purge').waitFor();
    await page.waitForTimeout(450); // twice within less is a double press
    watcher.start();
    await page.keyboard.press('Enter');
    await said.getByText('a path begins with').waitFor();
    assert.ok(await said.evaluate((element) => element.classList.contains('bad')));
  });
  await check('a group wants its host; tags have none', async () => {
    await page.locator('[name=kind]').selectOption('groups');
    assert.ok(await page.locator('[name=host]').evaluate((field) => field.required && !field.disabled));
    await page.locator('[name=kind]').selectOption('tags');
    assert.ok(await page.locator('[name=host]').isDisabled());
  });
  await page.close();
}

export async function cache({ browser, router, shots }) {
  await check('what one visitor was sent, the next one gets from the cache', async () => {
    const [first, second] = [await visit(browser, router), await visit(browser, router)];
    assert.ok(first.length > 0 && second.length === first.length, `${first} / ${second}`);
    assert.ok(second.every((told) => told.startsWith('banyan; hit; ')), second.join(' | '));
    await until('the page knows', async () => (await state(router)).routes.some((used) => used.route === '/static/*' && used.hit >= second.length));
  });
  for (const [name, width, colorScheme] of LOOKS) {
    await check(`pictures of the cache at ${width} px, ${colorScheme}: nothing is wider than the screen`, async () => {
      const context = await fresh(browser, { viewport: { width, height: 900 }, colorScheme });
      await signIn(context, router, new Other(router));
      const { page, watcher } = await open(context, router, '/cache');
      await page.locator('#fresh.on').waitFor();
      await page.locator('#purge').waitFor();
      await page.screenshot({ path: shots(`cache-${name}-${colorScheme}`), fullPage: true });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page is too wide');
      assert.deepEqual(watcher.wrong, []);
      await context.close();
    });
  }
  const visitor = await fresh(browser);
  await check('who has not signed in may look and not purge', async () => {
    const { page } = await open(visitor, router, '/cache');
    await page.getByText('Sign in to purge.').waitFor();
    assert.ok(await page.locator('#purge-now').isDisabled());
  });
  await visitor.close();
  const context = await fresh(browser);
  await signIn(context, router, new Other(router));
  await purging(context, router);
  await context.close();
}
