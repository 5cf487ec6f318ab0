// Forms, a session cookie, a large download and an upload.

import assert from 'node:assert/strict';
import { digest } from '../../bytes.mjs';
import { fresh, openCourse, Watcher } from '../browser.mjs';
import { check } from '../report.mjs';

const DOWNLOAD_MIB = 64;
const UPLOAD_MIB = 16;

export async function forms({ router, browser }) {
  await router.ramp(0);
  const context = await fresh(browser);
  const page = await context.newPage();
  const watcher = new Watcher(page);

  await check('a form is posted and redirected, and the session cookie keeps the cart', async () => {
    await openCourse(page, router);
    await page.locator('#buy').click();
    await page.locator('#cart li').waitFor();
    assert.equal(page.url(), `${router.origin}/cart`);
    await page.locator('select[name=course]').selectOption('databases');
    await page.locator('#add').click();
    await page.locator('#cart li').nth(1).waitFor();
    await page.reload();
    assert.deepEqual(await page.locator('#cart li').allTextContents(), ['rust', 'databases']);
    const cookies = await context.cookies();
    assert.equal(cookies.find(({ name }) => name === 'sid')?.secure, true);
    watcher.expectWhole('legacy');
  });

  await check('the visitor cookie is signed, Secure, HttpOnly and host-only, and no backend sees it', async () => {
    const cookie = (await context.cookies()).find(({ name }) => name === '__Host-banyan');
    assert.ok(cookie, 'there is one');
    assert.deepEqual([cookie.secure, cookie.httpOnly, cookie.sameSite, cookie.path], [true, true, 'Lax', '/']);
    const told = await page.evaluate(async () => (await fetch('/headers')).json());
    assert.match(told.cookie, /^sid=[\w-]+$/);
  });

  await check(`a download of ${DOWNLOAD_MIB} MiB arrives whole in Chromium`, async () => {
    const got = await page.evaluate(async (mib) => {
      const answer = await fetch(`/download?mib=${mib}`);
      const bytes = await answer.arrayBuffer();
      const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
      return { length: bytes.byteLength, hash: Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('') };
    }, DOWNLOAD_MIB);
    assert.deepEqual(got, { length: DOWNLOAD_MIB * 1024 * 1024, hash: digest(DOWNLOAD_MIB * 1024 * 1024) });
  });

  await check(`an upload of ${UPLOAD_MIB} MiB arrives whole at the backend`, async () => {
    const got = await page.evaluate(async (mib) => {
      const body = new Blob([new Uint8Array(mib * 1024 * 1024)]);
      return (await fetch('/upload', { method: 'POST', body })).json();
    }, UPLOAD_MIB);
    assert.deepEqual(got, { bytes: UPLOAD_MIB * 1024 * 1024 });
  });

  await check('a page that the legacy application does not have is its own 404, not the router\'s', async () => {
    const answer = await page.goto(`${router.origin}/no/such/page`);
    assert.equal(answer.status(), 404);
    assert.equal(answer.headers()['proxy-status'], undefined);
    await page.getByText('There is no /no/such/page here').waitFor();
  });
  await context.close();
}
