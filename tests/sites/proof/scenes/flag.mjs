// One path moves from legacy to new: at 0, 30 and 100 %, up, off and on again, while everyone keeps their side.

import assert from 'node:assert/strict';
import { each, fresh, openCourse, sideOf, Watcher, xhrOf } from '../browser.mjs';
import { check } from '../report.mjs';
import { Crowd, fair } from '../visitor.mjs';

const CONTEXTS = 20;
const REGULARS = 12;
const CROWD = 400;
const LANES = 4;

const count = (sides, side) => sides.filter((seen) => seen === side).length;

/** Fresh browsers that look once. */
function newcomers(browser, router) {
  return each(Array.from({ length: CONTEXTS }), LANES, async () => {
    // Scripts are for those who stay: starting them twenty times is most of what this would take.
    const context = await fresh(browser, { javaScriptEnabled: false });
    const side = await openCourse(await context.newPage(), router, { waitUntil: 'domcontentloaded' });
    await context.close();
    return side;
  });
}

export async function flagAtEnds({ router, browser }) {
  for (const [percent, side] of [[0, 'legacy'], [100, 'new']]) {
    await check(`at ${percent} % all of ${CONTEXTS} fresh browsers see ${side}`, async () => {
      const took = await router.ramp(percent);
      const sides = await newcomers(browser, router);
      assert.equal(count(sides, side), CONTEXTS, sides.join(' '));
      return `in force ${took.toFixed(0)} ms after the save`;
    });
    await check(`a ${side} page is whole: its parts are of one generation, nothing is missing, no errors`, async () => {
      const context = await fresh(browser);
      const page = await context.newPage();
      const watcher = new Watcher(page);
      await openCourse(page, router);
      assert.equal(await xhrOf(page), side);
      if (side === 'new') {
        await page.locator('#enroll').click();
        await page.getByText('Enrolled 1').waitFor();
      }
      await page.locator('#lessons').click();
      await page.locator('#page-two').waitFor();
      await page.waitForLoadState('networkidle');
      watcher.expectWhole(side);
      await context.close();
      return `${watcher.answers} answers`;
    });
  }
}

/** A browser that stays: its page, and the side it was given at first. */
async function regular(browser, router) {
  const context = await fresh(browser);
  const page = await context.newPage();
  const watcher = new Watcher(page);
  const side = await openCourse(page, router);
  return { context, page, watcher, side };
}

async function expectSameSide({ page, side }, when) {
  await page.reload({ waitUntil: 'domcontentloaded' });
  assert.equal(await sideOf(page), side, when);
}

export async function flagBetween({ router, browser }) {
  await router.ramp(30);
  const crowd = new Crowd(router, CROWD);
  let at30 = [];
  await check(`at 30 % of ${CROWD} visitors the new side gets a fair share`, async () => {
    at30 = await crowd.sides();
    assert.equal(count(at30, 'new') + count(at30, 'legacy'), CROWD);
    assert.ok(fair(count(at30, 'new'), CROWD, 30), `${count(at30, 'new')} new`);
    return `${count(at30, 'new')} new`;
  });

  const regulars = await each(Array.from({ length: REGULARS }), LANES, () => regular(browser, router));
  const all = (work) => each(regulars, LANES, work);
  const shares = `${count(regulars.map(({ side }) => side), 'new')} of ${REGULARS} new`;

  await check('page one, its XHR and page two are of the same side, from the first request on', async () => {
    await all(async ({ page, watcher, side }) => {
      assert.equal(await xhrOf(page), side);
      await page.goto(`${router.origin}/courses/rust/lessons`);
      assert.equal(await sideOf(page), side);
      await page.waitForLoadState('networkidle');
      watcher.expectWhole(side);
      await page.goto(`${router.origin}/courses/rust`);
    });
    return shares;
  });
  await check('each browser stays on its side over 5 reloads of the page', async () => {
    for (let reload = 1; reload <= 5; reload += 1) await all((one) => expectSameSide(one, `reload ${reload}`));
  });
  await check('each browser stays on its side after the router has read its files again', async () => {
    const took = await router.change(() => {
      router.saveFlag(30);
      router.program.signal('SIGHUP');
    });
    await all((one) => expectSameSide(one, 'router reloaded'));
    return `in force ${took.toFixed(0)} ms after the save`;
  });
  await check('each browser stays on its side after the router was restarted, and the crowd too', async () => {
    const ended = await router.restart();
    assert.deepEqual(ended, { code: 0, signal: null });
    await all((one) => expectSameSide(one, 'router restarted'));
    assert.deepEqual(await crowd.sides(), at30);
  });
  await change({ router, crowd, all, at30 });
  await all(({ context }) => context.close());
  crowd.leave();
}

async function change({ router, crowd, all, at30 }) {
  await check('30 → 60 % takes nobody back to legacy, and adds a fair share', async () => {
    await router.ramp(60);
    const sides = await crowd.sides();
    at30.forEach((side, number) => assert.ok(side === 'legacy' || sides[number] === 'new', `visitor ${number}`));
    assert.ok(fair(count(sides, 'new'), CROWD, 60), `${count(sides, 'new')} new`);
    await all(async ({ page, side }) => {
      await page.reload({ waitUntil: 'domcontentloaded' });
      assert.ok(side === 'legacy' || (await sideOf(page)) === 'new');
    });
    return `${count(sides, 'new')} new`;
  });
  await check('60 → 30 % gives everyone the side they had at 30 %', async () => {
    await router.ramp(30);
    assert.deepEqual(await crowd.sides(), at30);
  });
  await check('a killed flag moves everyone to legacy on the very next request', async () => {
    const took = await router.ramp(30, 'disabled');
    const sides = await crowd.sides();
    assert.equal(count(sides, 'legacy'), CROWD);
    await all(async ({ page }) => {
      await page.reload({ waitUntil: 'domcontentloaded' });
      assert.equal(await sideOf(page), 'legacy');
    });
    return `in force ${took.toFixed(0)} ms after the save`;
  });
  await check('restored, it brings the same visitors back to new', async () => {
    await router.ramp(30);
    assert.deepEqual(await crowd.sides(), at30);
    await all((one) => expectSameSide(one, 'restored'));
  });
}

export async function flagUnderAnOpenPage({ router, browser }) {
  await check('a new page that was open when its flag was killed goes on to a whole legacy page', async () => {
    await router.ramp(100);
    const context = await fresh(browser);
    const page = await context.newPage();
    assert.equal(await openCourse(page, router), 'new');
    await xhrOf(page);
    await router.ramp(100, 'disabled');
    await page.locator('#lessons').click();
    await page.locator('h1 .old').waitFor();
    assert.equal(await sideOf(page), 'legacy');
    assert.equal(await page.locator('.hero').count(), 0);
    await context.close();
    await router.ramp(100);
  });
}
