// A backend dies and comes back somewhere else; a squad's file breaks and is mended.

import assert from 'node:assert/strict';
import { fresh, openCourse, sideOf } from '../browser.mjs';
import { check } from '../report.mjs';
import { until } from '../until.mjs';

export async function failure({ router, browser, apps, startNew, shots }) {
  const context = await fresh(browser);
  const page = await context.newPage();
  await router.ramp(100);
  await openCourse(page, router);
  await page.waitForLoadState('networkidle');

  await check('a dead backend is a friendly page in the browser, with a status that says so', async () => {
    await apps.fresh.kill();
    const answer = await page.goto(`${router.origin}/courses/rust`);
    assert.ok([502, 503].includes(answer.status()), `status ${answer.status()}`);
    assert.match(answer.headers()['content-type'], /^text\/html/);
    assert.match(answer.headers()['proxy-status'] ?? '', /^banyan; error=\w+/);
    await page.screenshot({ path: shots('error') });
    return `${answer.status()}, ${answer.headers()['proxy-status']}`;
  });
  await check('a script is told the same as problem JSON', async () => {
    const told = await page.evaluate(async () => {
      const answer = await fetch('/courses/rust/side', { headers: { accept: 'application/json' } });
      return { status: answer.status, type: answer.headers.get('content-type'), problem: await answer.json() };
    });
    assert.ok([502, 503].includes(told.status), `status ${told.status}`);
    assert.match(told.type, /^application\/problem\+json/);
    assert.equal(told.problem.status, told.status);
  });
  await check('what the dead backend does not serve is not touched', async () => {
    assert.equal((await page.goto(`${router.origin}/`)).status(), 200);
    assert.equal(await sideOf(page), 'legacy');
  });
  await check('the flag killed, everyone is back on legacy at once', async () => {
    await router.ramp(100, 'disabled');
    assert.equal((await page.goto(`${router.origin}/courses/rust`)).status(), 200);
    assert.equal(await sideOf(page), 'legacy');
    await router.ramp(100);
  });
  await check('the squad\'s file names the backend\'s new address, and the new page is back', async () => {
    apps.fresh = await startNew();
    await router.change(() => router.saveLearn(apps.fresh.address));
    await until('the new page is back', async () => (await page.goto(`${router.origin}/courses/rust`)).status() === 200);
    assert.equal(await sideOf(page), 'new');
  });
  await check('a broken file of the squad changes nothing for visitors, and is complained of', async () => {
    const lines = router.program.err;
    const from = lines.length;
    router.save('routes/learn.toml', 'squad = "learn"\n[[routes]]\npath = "/courses/{slug"\nbackend = "nobody"');
    await until('the complaint', () => lines.slice(from).some((line) => / ERROR .*learn\.toml/.test(line)));
    assert.equal(await openCourse(page, router), 'new');
    await router.change(() => router.saveLearn(apps.fresh.address));
    assert.equal(await openCourse(page, router), 'new');
  });
  await context.close();
}
