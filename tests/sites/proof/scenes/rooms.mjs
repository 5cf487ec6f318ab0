// What people see who wait, and what operators see of it: the waiting page with and without a script, rooms and drills on the admin page.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fresh, Watcher } from '../browser.mjs';
import { check } from '../report.mjs';
import { until } from '../until.mjs';
import { Crowd } from '../visitor.mjs';

const PATH = '/courses/databases';
const EARLY = '/courses/algorithms';
const QUICK = '/courses/rust';
const LOOKS = [['wide', 1280, 'light'], ['wide', 1280, 'dark'], ['phone', 390, 'light'], ['phone', 390, 'dark']];
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** When the sale opens: long after this is over. */
const OPENS = new Date(Date.now() + 150 * 60_000).toISOString().replace(/\.\d+/, '');

const ROOMS = `
[rooms.enrol]
inside = 1
idle   = "3s"

[rooms.sale]
inside = 100
opens  = ${OPENS}

[rooms.quick]
inside = 1
idle   = "1s"
claim  = "3s"

[[routes]]
path = "${PATH}"
backend = "legacy"
room = "enrol"

[[routes]]
path = "${EARLY}"
backend = "legacy"
room = "sale"

[[routes]]
path = "${QUICK}"
backend = "legacy"
room = "quick"
`;

/** Everything that axe finds wrong with a page, in any of its rules. */
async function expectAccessible(page) {
  await page.evaluate(AXE); // past the page's own policy, which lets no other script in
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`), []);
}

async function expectNarrow(page) {
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'wider than the screen');
}

/** A visitor who has the only seat and keeps it until told to leave. */
class Sitter {
  constructor(router, path) {
    this.crowd = new Crowd(router, 1);
    this.ask = () => this.crowd.visitors[0].ask(path);
  }

  async sit() {
    await until('a seat', async () => (await this.ask()).status === 200);
    this.asking = setInterval(() => this.ask().catch(() => {}), 300);
  }

  leave() {
    clearInterval(this.asking);
    this.crowd.leave();
  }
}

/** Opens a page that is held back: 503, and the room's own words. */
async function held(context, router, path) {
  const page = await context.newPage();
  const answer = await page.goto(router.origin + path);
  assert.equal(answer.status(), 503);
  assert.equal(answer.headers()['retry-after'] > 0, true);
  return page;
}

async function pictures(browser, router, shots) {
  for (const [name, width, colorScheme] of LOOKS) {
    await check(`the waiting page at ${width} px, ${colorScheme}: axe finds nothing, nothing is wider than the screen`, async () => {
      const context = await fresh(browser, { viewport: { width, height: 800 }, colorScheme });
      for (const [what, path, title] of [['waiting', PATH, 'You are in line'], ['early', EARLY, 'Not open yet']]) {
        const page = await held(context, router, path);
        assert.equal(await page.title(), title);
        assert.equal(await page.locator('html').getAttribute('lang'), 'en');
        await page.getByRole('heading', { level: 1, name: title }).waitFor();
        assert.notEqual(await page.getByRole('status').textContent(), '');
        await page.screenshot({ path: shots(`${what}-${name}-${colorScheme}`) });
        await expectNarrow(page);
        await expectAccessible(page);
      }
      await context.close();
    });
  }
}

/** Waits on a page until the seat is free, and is let in without a hand; how often the backend was asked for it. */
async function letIn(browser, router, options) {
  const sitter = new Sitter(router, QUICK);
  await sitter.sit();
  const context = await fresh(browser, options);
  const page = await held(context, router, QUICK);
  const words = await page.getByRole('status').textContent();
  assert.match(words, /You are next\./);
  sitter.leave();
  await page.getByRole('heading', { level: 1, name: 'Rust from the first line' }).waitFor({ timeout: 20_000 });
  const { status } = await page.evaluate(() => ({ status: performance.getEntriesByType('navigation')[0].responseStatus }));
  assert.equal(status, 200);
  await context.close();
}

async function order(router, path, body) {
  const token = readFileSync(join(router.folder, 'state', 'cli.token'), 'utf8').trim();
  const answer = await fetch(`http://127.0.0.1:${router.ports.admin}${path}`, {
    method: 'POST', body: JSON.stringify(body),
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
  });
  const text = await answer.text();
  assert.ok(answer.ok, text);
  return JSON.parse(text);
}

async function admin(browser, router, shots) {
  const drills = [
    await order(router, '/api/drills', { path: '/courses/*', what: 'delay=1ms', share: 12.5, for: '10m', reason: 'game day: a slow morning' }),
    await order(router, '/api/drills', {
      path: '/checkout/nowhere', what: 'abort=503', header: 'x-drill: yes', for: '5m', reason: 'what do alerts make of it?',
    }),
  ];
  for (const [name, width, colorScheme] of LOOKS) {
    await check(`rooms and drills on the admin page at ${width} px, ${colorScheme}`, async () => {
      const context = await fresh(browser, { viewport: { width, height: 800 }, colorScheme });
      const page = await context.newPage();
      const watcher = new Watcher(page);
      await page.goto(`http://127.0.0.1:${router.ports.admin}/`);
      const bar = page.locator('.drill');
      await bar.first().waitFor();
      assert.equal(await bar.count(), 2);
      assert.match(await bar.first().textContent(), /delay=1ms on \/courses\/\* for 12\.5 % of requests, until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, by command line: game day: a slow morning/);
      const room = page.locator('#rooms tr', { hasText: 'enrol' });
      assert.match(await room.textContent(), /1 of 1/);
      await page.screenshot({ path: shots(`drills-${name}-${colorScheme}`) });
      await page.locator('#rooms').scrollIntoViewIfNeeded();
      await page.locator('#rooms').screenshot({ path: shots(`rooms-${name}-${colorScheme}`) });
      await expectNarrow(page);
      await expectAccessible(page);
      assert.deepEqual(watcher.wrong, []);
      await context.close();
    });
  }
  await check('a drill that ends is gone from an open page, without a reload', async () => {
    const context = await fresh(browser);
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${router.ports.admin}/flags`);
    await page.locator('.drill').first().waitFor();
    for (const { id } of drills) await order(router, `/api/drills/${id}/end`, { reason: 'seen enough' });
    await until('no bar', async () => await page.locator('.drill').count() === 0);
    await context.close();
  });
}

export async function rooms({ router, browser, apps, shots }) {
  await router.change(() => router.saveLearn(apps.fresh.address, ROOMS));
  const sitter = new Sitter(router, PATH);
  await sitter.sit();
  await pictures(browser, router, shots);
  await admin(browser, router, shots);
  sitter.leave();
  await check('the waiting page looks by itself, and goes on when it is its turn', () => letIn(browser, router));
  await check('without a script it does so as well', () => letIn(browser, router, { javaScriptEnabled: false }));
  await router.change(() => router.saveLearn(apps.fresh.address));
}
