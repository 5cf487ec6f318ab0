// Pages that ask for a stronger sign-in, or a recent one.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { check } from '../../sites/proof/report.mjs';
import { Person } from '../site.mjs';

export async function stepUp(world) {
  const { idp } = world;
  const alice = await (await Person.arrive(world)).signIn('alice');

  await check('a script is told what kind of sign-in is asked for', async () => {
    assert.equal((await alice.fetch('/vault')).status, 401);
  });

  await check('a page that asks for a second factor leads to it: silently first, then by asking', async () => {
    const from = idp.asked.length;
    await alice.open('/vault');
    assert.ok(alice.page.url().startsWith(idp.issuer), alice.page.url());
    const asked = idp.asked.slice(from).map(({ acr_values: acr, prompt }) => [acr, prompt]);
    assert.deepEqual(asked, [['mfa', undefined], ['mfa', 'login']]);
    await alice.tell('alice', 'strong');
    assert.equal(alice.at, '/vault');
    assert.equal((await alice.open('/vault')).status(), 200);
  });

  await check('who has no second factor gets one clear page, and is signed in elsewhere', async () => {
    const carol = await (await Person.arrive(world)).signIn('carol');
    const from = idp.asked.length;
    await carol.open('/vault');
    await carol.tell('carol', 'strong');
    assert.equal(carol.at.split('?')[0], '/.banyan/callback');
    assert.match(await carol.page.textContent('h1'), /not enough/);
    assert.equal(idp.asked.length - from, 2, 'no loop');
    await world.picture(carol.page, 'too-weak');
    await carol.open('/account/home');
    assert.equal(await carol.user(), 'carol');
  });

  await check('a page that asks for a recent sign-in asks again when it is old, and not before', async () => {
    const dave = await (await Person.arrive(world)).signIn('alice', '/pay');
    assert.equal(idp.asked.at(-1).max_age, '10');
    assert.equal((await dave.open('/pay')).status(), 200);
    await pause(11_200); // the provider counts whole seconds
    const from = idp.asked.length;
    await dave.open('/pay');
    assert.ok(dave.page.url().startsWith(`${idp.issuer}/interaction/`), dave.page.url());
    await dave.tell('alice');
    assert.equal(dave.at, '/pay');
    assert.equal(idp.asked.length - from, 1);
    assert.equal(await dave.user(), 'alice');
  });
}
