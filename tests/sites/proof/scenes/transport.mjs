// TLS, HTTP/2, the redirect from http, and what the backends are told.

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import tls from 'node:tls';
import { fresh, openCourse } from '../browser.mjs';
import { check } from '../report.mjs';
import { ask } from '../visitor.mjs';

export async function transport({ router, browser }) {
  await check('the chain verifies against the development authority, and h2 is agreed on', async () => {
    const socket = tls.connect({
      port: router.ports.https, host: '127.0.0.1', servername: 'localhost', ca: router.authority, ALPNProtocols: ['h2', 'http/1.1'],
    });
    await new Promise((resolve, reject) => socket.on('secureConnect', resolve).on('error', reject));
    const told = `${socket.getProtocol()}, ${socket.getEphemeralKeyInfo().name ?? 'post-quantum group'}`;
    assert.equal(socket.authorized, true);
    assert.equal(socket.alpnProtocol, 'h2');
    socket.destroy();
    return told;
  });

  await check('without the authority the chain does not verify', async () => {
    await assert.rejects(ask(`${router.origin}/`), /self.signed|unable to (verify|get local issuer)/);
  });

  await check('http redirects: 301 for GET, 307 for POST, to the same address on https', async () => {
    const plain = `http://localhost:${router.ports.http}/courses/rust?a=1&b=%20`;
    const get = await ask(plain);
    const post = await ask(plain, { method: 'POST', body: 'x=1' });
    assert.deepEqual([get.status, post.status], [301, 307]);
    assert.equal(get.headers.location, `${router.origin}/courses/rust?a=1&b=%20`);
  });

  await check('Chromium comes from http:// and browses over HTTP/2', async () => {
    const context = await fresh(browser);
    const page = await context.newPage();
    await page.goto(`http://localhost:${router.ports.http}/`);
    assert.equal(new URL(page.url()).origin, router.origin);
    const protocol = await page.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol);
    assert.equal(protocol, 'h2');
    await context.close();
  });

  await check('the backend is told the truth about the visitor, and nothing that the visitor made up', async () => {
    const context = await fresh(browser);
    await context.setExtraHTTPHeaders({ 'Banyan-Flags': 'forged=new', 'Banyan-User': 'root', 'X-Forwarded-Proto': 'gopher' });
    const page = await context.newPage();
    await openCourse(page, router);
    const told = async (name) => page.locator(`#told [data-header="${name}"]`).textContent();
    assert.match(await told('banyan-flags'), /^course-page=(legacy|new)$/);
    assert.equal(await told('x-forwarded-proto'), 'https');
    assert.equal(await told('x-forwarded-host'), `localhost:${router.ports.https}`);
    assert.match(await told('x-request-id'), /^[\w-]{8,}$/);
    await context.close();
  });

  await check('a hundred requests in flight on one HTTP/2 connection are each answered with their own', async () => {
    const session = http2.connect(router.origin, { ca: router.authority });
    const one = (number) => new Promise((resolve, reject) => {
      const stream = session.request({ ':path': `/nothing/${number}` });
      let text = '';
      stream.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('error', reject);
      stream.on('end', () => resolve(text));
    });
    const texts = await Promise.all(Array.from({ length: 100 }, (_, number) => one(number)));
    texts.forEach((text, number) => assert.ok(text.includes(`<code>/nothing/${number}</code>`), `answer ${number}`));
    session.destroy();
  });
}
