// Pictures of what people see, to be looked at.

import assert from 'node:assert/strict';
import { fresh, openCourse, Watcher, xhrOf } from '../browser.mjs';
import { check } from '../report.mjs';

export async function pictures({ router, browser, shots }) {
  const context = await fresh(browser);
  const page = await context.newPage();
  for (const [percent, side] of [[0, 'legacy'], [100, 'new']]) {
    await check(`a picture of the ${side} page`, async () => {
      await router.ramp(percent);
      assert.equal(await openCourse(page, router), side);
      await xhrOf(page);
      await page.screenshot({ path: shots(side) });
    });
  }
  await check('a picture of the admin page, which loads without errors', async () => {
    const admin = await context.newPage();
    const watcher = new Watcher(admin);
    const answer = await admin.goto(`http://127.0.0.1:${router.ports.admin}/`);
    assert.equal(answer.status(), 200);
    await admin.waitForLoadState('networkidle');
    await admin.getByText('course-page').first().waitFor();
    await admin.screenshot({ path: shots('admin'), fullPage: true });
    assert.deepEqual(watcher.wrong, []);
  });
  await context.close();
}
