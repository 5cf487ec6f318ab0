// What a release manager does on the admin pages: look at a flag as it happens, ramp, kill, restore, and meet somebody who was quicker.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fresh, Watcher } from '../browser.mjs';
import { check } from '../report.mjs';
import { until } from '../until.mjs';
import { Crowd } from '../visitor.mjs';

const KEY = 'course-page';
export const LOOKS = [['wide', 1280, 'light'], ['wide', 1280, 'dark'], ['phone', 390, 'light'], ['phone', 390, 'dark']];

/** Somebody else, who changes the flag through the API. */
export class Other {
  constructor(router) {
    this.address = `http://127.0.0.1:${router.ports.admin}/api/flags/${KEY}`;
    this.token = readFileSync(join(router.folder, 'state', 'cli.token'), 'utf8').trim();
  }

  async order(path, body) {
    const answer = await fetch(this.address + path, {
      method: 'POST', body: JSON.stringify(body),
      headers: { Authorization: `Bearer ${this.token}`, 'Content-Type': 'application/json', 'If-Match': '*' },
    });
    assert.equal(answer.status, 200, await answer.text());
  }

  async flag() { return (await fetch(this.address)).json(); }

  async newest() { return (await (await fetch(`${this.address}/history?limit=1`)).json()).entries[0]; }
}

/** A page of the admin listener. */
export async function open(context, router, path) {
  const page = await context.newPage();
  const watcher = new Watcher(page);
  const answer = await page.goto(`http://127.0.0.1:${router.ports.admin}${path}`);
  assert.equal(answer.status(), 200);
  return { page, watcher };
}

export async function signIn(context, router, { token }) {
  const { page } = await open(context, router, '/login');
  await page.locator('#token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL((url) => url.pathname === '/');
  await page.close();
}

async function pictures(browser, router, shots) {
  for (const [name, width, colorScheme] of LOOKS) {
    await check(`pictures of the flags at ${width} px, ${colorScheme}: nothing is wider than the screen`, async () => {
      const context = await fresh(browser, { viewport: { width, height: 900 }, colorScheme });
      const looks = [['login', '/login'], ['flags', '/flags'], ['flag', `/flags/${KEY}?url=/courses/rust&user=mina&role=staff`]];
      for (const [what, path] of looks) {
        if (what === 'flags') await signIn(context, router, new Other(router));
        const { page, watcher } = await open(context, router, path);
        if (what !== 'login') await page.locator('#fresh.on').waitFor();
        if (what === 'flag') await page.locator('#history li').first().waitFor();
        await page.screenshot({ path: shots(`${what}-${name}-${colorScheme}`), fullPage: true });
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${what} is too wide`);
        assert.deepEqual(watcher.wrong, []);
      }
      await context.close();
    });
  }
}

async function looking(context, router) {
  await check('the flags show the split and both sides as they happen, without a reload', async () => {
    const { page, watcher } = await open(context, router, '/flags');
    const cell = page.locator(`[data-flag="${KEY}"][data-share="new"]`);
    await cell.waitFor();
    const crowd = new Crowd(router, 30);
    await crowd.sides();
    crowd.leave();
    await until('a share is shown', async () => /\d %/.test(await cell.textContent()));
    await until('a rate is shown', async () => /[1-9]/.test(await page.locator('[data-figure="rate"]').first().textContent()));
    assert.deepEqual(watcher.wrong, []);
    await page.close();
  });
  await check('a flag\'s page follows a change of its file', async () => {
    const { page } = await open(context, router, `/flags/${KEY}`);
    await router.ramp(45);
    await page.locator('#flag-live .legend').getByText('45 %').waitFor();
    await until('the control follows', async () => await page.locator('#ramp input[type=number]').inputValue() === '45');
    await router.ramp(30);
    await page.close();
  });
}

async function moving(context, router) {
  const other = new Other(router);
  await check('who is not signed in may look, and is told why no button works', async () => {
    const { page } = await open(context, router, `/flags/${KEY}`);
    await page.getByText('Sign in to change this flag.').waitFor();
    assert.ok(await page.locator('#kill').isDisabled());
    await page.close();
  });
  await signIn(context, router, other);
  const { page, watcher } = await open(context, router, `/flags/${KEY}`);
  const said = page.locator('#said');
  const number = page.locator('#ramp input[type=number]');
  await page.locator('#history li').first().waitFor();
  await check('a ramp says who moves, and is one order for the version that is shown', async () => {
    await page.locator('#ramp [data-step="50"]').click();
    await page.getByText('Adds 20 % of visitors to new, moves nobody back.').waitFor();
    await page.locator('#ramp-reason').fill('looks good');
    await page.getByRole('button', { name: 'Set to 50 %' }).click();
    await page.getByText('Ramp: in force since').waitFor();
    assert.equal((await other.flag()).shares.new, 50);
    const { who, how, reason } = await other.newest();
    assert.deepEqual({ who, how, reason }, { who: 'command line', how: 'page', reason: 'looks good' });
    await number.fill('10');
    await page.getByText('Takes 40 % of visitors off new: those who were added last.').waitFor();
    await number.fill('101');
    await page.getByText('100 % at most').waitFor();
    assert.ok(await page.locator('#apply').isDisabled());
    await page.locator('#reset').click();
  });
  await check('one click, a double click and a key that is held down too shortly kill nobody', async () => {
    const { id } = await other.newest();
    const kill = page.locator('#kill');
    await kill.dblclick();
    await kill.press('Escape');
    await kill.focus();
    await page.keyboard.down('Enter');
    await page.keyboard.up('Enter');
    await kill.press('Escape');
    assert.equal((await other.newest()).id, id);
    assert.equal((await kill.textContent()).trim(), 'Kill');
  });
  await check('holding for a second kills, also when somebody else changed the flag meanwhile; restore brings it back', async () => {
    await other.order('/ramp', { share: 60, by: 'omar' });
    await page.locator('#kill').hover();
    await page.mouse.down();
    await page.locator('#restore').waitFor();
    await page.mouse.up();
    assert.equal((await other.flag()).state, 'disabled');
    await page.locator('#restore').click();
    await page.locator('#kill').waitFor();
    assert.equal((await other.flag()).state, 'enabled');
  });
  await check('two presses of a key kill as well', async () => {
    await page.locator('#kill').focus();
    await page.keyboard.press('Enter');
    await page.getByText('Press again to kill').waitFor();
    await page.waitForTimeout(450); // twice within less is a double press
    await page.keyboard.press('Enter');
    await page.locator('#restore').click();
    await page.locator('#kill').waitFor();
  });
  await check('who comes second sees both sides and chooses', async () => {
    await number.fill('20');
    await other.order('/ramp', { share: 80, by: 'omar', reason: 'full speed' });
    watcher.start();
    await page.locator('#apply').click();
    const conflict = page.locator('#conflict');
    await conflict.getByText('omar').waitFor();
    assert.deepEqual(await conflict.locator('tbody tr').first().locator('th, td').allTextContents(), ['new', '80 %', '20 %']);
    assert.equal((await other.flag()).shares.new, 80);
    await page.getByRole('button', { name: 'Apply mine on top' }).click();
    await said.getByText('Ramp: in force since').waitFor();
    assert.equal((await other.flag()).shares.new, 20);
  });
  await check('a schedule is sent as a whole, a change is undone, a link is made and revoked', async () => {
    await page.locator('#schedule summary').click();
    await page.locator('#schedule-add').click();
    await page.locator('#schedule-rows input[name=at]').fill('2030-01-02T08:00');
    await page.locator('#schedule-rows input[type=number]').fill('25');
    await page.getByRole('button', { name: 'Save schedule' }).click();
    await said.getByText('Schedule: in force since').waitFor();
    const { rollout } = await other.flag();
    assert.deepEqual([rollout.schedule.length, rollout.shape], [1, 'steps']);
    await page.locator('#history li button').first().click();
    await said.getByText('Undo: in force since').waitFor();
    assert.equal((await other.flag()).rollout.schedule?.length ?? 0, 0);
    await page.locator('#links summary').click();
    await page.getByRole('button', { name: 'Make a link' }).click();
    const link = await page.getByLabel('Link to').inputValue();
    assert.match(link, /^https:\/\/localhost[:/].*\.banyan\/override\?t=/);
    await page.getByRole('button', { name: 'Revoke' }).click();
    await said.getByText('Link revoked.').waitFor();
  });
  await page.close();
}

export async function manager({ router, browser, shots }) {
  await router.ramp(30);
  const context = await fresh(browser, { viewport: { width: 1280, height: 900 } });
  await looking(context, router);
  await moving(context, router);
  await context.close();
  await pictures(browser, router, shots);
}
