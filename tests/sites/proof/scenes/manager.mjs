// What a release manager does on the admin pages: look at a flag as it happens, ramp, kill, restore, and meet somebody who was quicker.
//
// Looking is the real thing. Orders are answered by a small stand-in that keeps a flag as the API does, so that races can be arranged.

import assert from 'node:assert/strict';
import { fresh, Watcher } from '../browser.mjs';
import { check } from '../report.mjs';
import { until } from '../until.mjs';
import { Crowd } from '../visitor.mjs';

const KEY = 'course-page';
const LOOKS = [['wide', 1280, 'light'], ['wide', 1280, 'dark'], ['phone', 390, 'light'], ['phone', 390, 'dark']];
const json = (route, status, body, headers = {}) => route.fulfill({
  status, headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body),
});

/** A flag that can be changed, in the words of the API. */
class Stand {
  constructor(real) {
    this.flag = real;
    this.version = 1;
    this.history = [];
    this.orders = [];
    this.note('mina', 'file', 'first version', 'new = 0.0', 'new = 30.0');
  }

  note(who, how, reason, before, after) {
    this.history.unshift({
      id: `h${this.history.length + 1}`, at: new Date().toISOString(), flag: KEY, who, how, reason, before, after, diff: ` [rollout]\n-${before}\n+${after}`,
    });
  }

  change(who, change, reason) {
    const before = `new = ${this.flag.shares.new}, ${this.flag.state}`;
    Object.assign(this.flag, change);
    this.version += 1;
    this.note(who, 'page', reason, before, `new = ${this.flag.shares.new}, ${this.flag.state}`);
  }

  async take(route) {
    const request = route.request();
    const path = new URL(request.url()).pathname;
    const rest = path.slice(`/api/flags/${KEY}`.length);
    if (path === '/api/me') return json(route, 200, { name: 'mina', scopes: ['read', 'write'] });
    if (/^\/api\/links\/.*\/revoke$/.test(path)) return json(route, 200, {});
    if (request.method() === 'GET' && rest === '') return json(route, 200, this.flag, { ETag: `"${this.version}"` });
    if (request.method() === 'GET') return json(route, 200, { entries: this.history, more: false });
    const body = request.postDataJSON();
    this.orders.push({ rest, body });
    if (request.headers()['if-match'] !== `"${this.version}"`) return json(route, 409, { status: 409, detail: 'it is another version' });
    if (rest === '/links') {
      return json(route, 200, { id: 'l1', url: 'https://localhost/.banyan/override?t=x', expires: new Date(Date.now() + 3.6e6).toISOString() });
    }
    const change = {
      '/ramp': { shares: body.rollout }, '/kill': { state: 'disabled' }, '/restore': { state: 'enabled' },
      '/schedule': { rollout: { schedule: body.schedule, shape: body.shape } }, '/undo': { shares: { new: 30 } },
    }[rest];
    this.change('mina', change, body.reason);
    return json(route, 200, this.flag, { ETag: `"${this.version}"` });
  }
}

/** A page of the admin listener; `stand` answers its orders. */
async function open(context, router, path, stand) {
  const page = await context.newPage();
  const watcher = new Watcher(page);
  if (stand) await page.route(/\/api\/(me|links\/.*|flags\/.*)$|\/history\?/, (route) => stand.take(route));
  else await page.route(/\/api\/me$/, (route) => json(route, 200, { name: 'mina', scopes: ['read'] }));
  const answer = await page.goto(`http://127.0.0.1:${router.ports.admin}${path}`);
  assert.equal(answer.status(), 200);
  return { page, watcher };
}

async function realFlag(router) {
  const answer = await fetch(`http://127.0.0.1:${router.ports.admin}/api/flags/${KEY}`);
  return answer.json();
}

async function pictures(browser, router, shots) {
  for (const [name, width, colorScheme] of LOOKS) {
    await check(`pictures of the flags at ${width} px, ${colorScheme}: nothing is wider than the screen`, async () => {
      const context = await fresh(browser, { viewport: { width, height: 900 }, colorScheme });
      for (const [what, path] of [['flags', '/flags'], ['flag', `/flags/${KEY}?url=/courses/rust&user=mina&role=staff`]]) {
        const { page, watcher } = await open(context, router, path, new Stand(await realFlag(router)));
        await page.locator('#fresh.on').waitFor();
        if (what === 'flag') await page.locator('#history li').first().waitFor();
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${what} is too wide`);
        await page.screenshot({ path: shots(`${what}-${name}-${colorScheme}`), fullPage: true });
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
    await page.route(/\/history\?/, (route) => json(route, 200, { entries: [], more: false }));
    await router.ramp(45);
    await page.locator('#flag-live .legend').getByText('45 %').waitFor();
    await until('the control follows', async () => await page.locator('#ramp input[type=number]').inputValue() === '45');
    await router.ramp(30);
    await page.close();
  });
}

async function moving(context, router) {
  const stand = new Stand(await realFlag(router));
  const { page, watcher } = await open(context, router, `/flags/${KEY}`, stand);
  const said = page.locator('#said');
  const number = page.locator('#ramp input[type=number]');
  await page.locator('#history li').first().waitFor();
  await check('a ramp says who moves, and is one order for the version that is shown', async () => {
    await page.locator('#ramp [data-step="50"]').click();
    await page.getByText('Adds 20 % of visitors to new, moves nobody back.').waitFor();
    await page.locator('#ramp-reason').fill('looks good');
    await page.getByRole('button', { name: 'Set to 50 %' }).click();
    await page.getByText('Ramp: in force since').waitFor();
    assert.deepEqual(stand.orders.at(-1), { rest: '/ramp', body: { rollout: { new: 50 }, reason: 'looks good', how: 'page' } });
    await number.fill('10');
    await page.getByText('Takes 40 % of visitors off new: those who were added last.').waitFor();
    await number.fill('101');
    await page.getByText('100 % at most').waitFor();
    assert.ok(await page.locator('#apply').isDisabled());
    await page.locator('#reset').click();
  });
  await check('one click, a double click and a key that is held down too shortly kill nobody', async () => {
    const orders = stand.orders.length;
    const kill = page.locator('#kill');
    await kill.dblclick();
    await kill.press('Escape');
    await kill.focus();
    await page.keyboard.down('Enter');
    await page.keyboard.up('Enter');
    await kill.press('Escape');
    assert.equal(stand.orders.length, orders);
    assert.equal((await kill.textContent()).trim(), 'Kill');
  });
  await check('holding for a second kills, also when somebody else changed the flag meanwhile; restore brings it back', async () => {
    stand.change('omar', { shares: { new: 60 } }, 'more');
    await page.locator('#kill').hover();
    await page.mouse.down();
    await page.locator('#restore').waitFor();
    await page.mouse.up();
    assert.equal(stand.flag.state, 'disabled');
    await page.locator('#restore').click();
    await page.locator('#kill').waitFor();
    assert.equal(stand.flag.state, 'enabled');
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
    stand.change('omar', { shares: { new: 80 } }, 'full speed');
    watcher.start();
    await page.locator('#apply').click();
    const conflict = page.locator('#conflict');
    await conflict.getByText('omar').waitFor();
    assert.deepEqual(await conflict.locator('tbody tr').first().locator('th, td').allTextContents(), ['new', '80 %', '20 %']);
    assert.equal(stand.flag.shares.new, 80);
    await page.getByRole('button', { name: 'Apply mine on top' }).click();
    await said.getByText('Ramp: in force since').waitFor();
    assert.equal(stand.flag.shares.new, 20);
  });
  await check('a schedule is sent as a whole, a change is undone, a link is made and revoked', async () => {
    await page.locator('#schedule summary').click();
    await page.locator('#schedule-add').click();
    await page.locator('#schedule-rows input[name=at]').fill('2030-01-02T08:00');
    await page.locator('#schedule-rows input[type=number]').fill('25');
    await page.getByRole('button', { name: 'Save schedule' }).click();
    await said.getByText('Schedule: in force since').waitFor();
    const sent = stand.orders.at(-1).body;
    assert.deepEqual([sent.schedule[0].shares, sent.shape], [{ new: 25 }, 'steps']);
    await page.locator('#history li button').first().click();
    await said.getByText('Undo: in force since').waitFor();
    await page.locator('#links summary').click();
    await page.getByRole('button', { name: 'Make a link' }).click();
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
