// Going out: by oneself, at both places; and by the provider's word.

import assert from 'node:assert/strict';
import { check } from '../../sites/proof/report.mjs';
import { until } from '../../sites/proof/until.mjs';
import { Person } from '../site.mjs';

export async function signOut(world) {
  const { idp, site } = world;

  await check('who signs out is out here and at the provider, and a copy of the cookie is worth nothing', async () => {
    const alice = await (await Person.arrive(world)).signIn('alice');
    const cookies = await alice.context.cookies(site.origin);
    await alice.page.click('#leave');
    await alice.page.waitForURL(`${idp.issuer}/session/end**`);
    assert.deepEqual(await alice.cookies(), []);
    await Promise.all([alice.page.waitForURL(site.at('/public/bye')), alice.page.click('button[value=yes]')]);
    assert.equal((await alice.fetch('/.banyan/me')).status, 401);
    await alice.open('/account/home');
    assert.ok(alice.page.url().startsWith(`${idp.issuer}/interaction/`), 'the provider asks again');
    await alice.open('/public/start');
    await alice.context.addCookies(cookies);
    assert.equal((await alice.fetch('/account/x')).status, 401);
  });

  await check('another site can sign nobody out', async () => {
    const alice = await (await Person.arrive(world)).signIn('alice');
    await alice.page.goto(`${idp.issuer}/.well-known/openid-configuration`);
    await alice.page.setContent(`<form method="post" action="${site.at('/.banyan/logout')}"><button>x</button></form>`);
    await Promise.all([alice.page.waitForURL(site.at('/.banyan/logout')), alice.page.click('button')]);
    assert.match(await alice.page.textContent('body'), /403|not allowed|may not/i);
    await alice.open('/account/home');
    assert.equal(await alice.user(), 'alice');
  });

  await check('who signs out at the provider is out here, at once and with open streams', async () => {
    const bob = await (await Person.arrive(world)).signIn('bob');
    const elsewhere = await (await Person.arrive(world)).signIn('bob');
    await bob.page.evaluate(() => {
      window.ended = fetch('/account/events').then((answer) => answer.text()).then(() => 'ended', String);
    });
    const told = idp.told.length;
    const tab = await bob.context.newPage();
    await tab.goto(`${idp.issuer}/session/end`);
    await tab.click('button[value=yes]');
    await until('the logout token to be taken', () => idp.told.length > told);
    assert.equal(idp.told.at(-1), 200);
    assert.equal((await bob.fetch('/account/x')).status, 401);
    assert.equal(await bob.page.evaluate(() => window.ended), 'ended');
    await bob.open('/account/x');
    assert.ok(bob.page.url().startsWith(`${idp.issuer}/interaction/`), bob.page.url());
    assert.equal((await elsewhere.fetch('/account/x')).status, 200, 'another session of the same person goes on');
  });

  await check('the page after a sign-out is a page', async () => {
    const nobody = await Person.arrive(world);
    await nobody.open('/.banyan/logout');
    assert.match(await nobody.page.textContent('h1'), /signed out/);
    await world.picture(nobody.page, 'signed-out');
  });
}
