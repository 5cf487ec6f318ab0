// A session that is used: it is checked at the provider, with a refresh token that counts once.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { check } from '../../sites/proof/report.mjs';
import { until } from '../../sites/proof/until.mjs';
import { CHECK, Person } from '../site.mjs';

/** Until a check is due: there is no event to wait for, as time alone makes it so. */
const due = () => pause(CHECK * 1000 + 100);

export async function checks(world) {
  const { idp } = world;
  const alice = await (await Person.arrive(world)).signIn('alice');

  await check('a session that is due is checked once, however many requests ask at once', async () => {
    for (let round = 1; round <= 3; round += 1) {
      const [before, cookie] = [idp.grants.refresh_token, await alice.session()];
      await due();
      const answers = await Promise.all(Array.from({ length: 24 }, (_, at) => alice.fetch(`/account/${at}`)));
      assert.ok(answers.every(({ status }) => status === 200), answers.map(({ status }) => status).join());
      assert.equal(idp.grants.refresh_token - before, 1, `round ${round}`);
      assert.notEqual(await alice.session(), cookie, 'the new token is in the cookie');
    }
    assert.deepEqual(idp.grants.failed, []);
  });

  await check('a browser that never got the new cookie is led on by the old one', async () => {
    const old = (await alice.context.cookies()).find(({ name }) => name === '__Host-banyan-session');
    await due();
    assert.equal((await alice.fetch('/account/x')).status, 200);
    await alice.context.addCookies([old]);
    assert.equal((await alice.fetch('/account/x')).status, 200);
    await due();
    await alice.context.addCookies([old]);
    assert.equal((await alice.fetch('/account/x')).status, 200);
    assert.deepEqual(idp.grants.failed, [], 'a token that was used twice would have ended the session');
  });

  await check('a role that changed at the provider holds after the next check, both ways', async () => {
    const status = async () => (await alice.fetch('/staff')).status;
    assert.equal(await status(), 403);
    idp.people.alice.roles = ['member', 'staff'];
    await until('the new role', async () => await status() === 200, CHECK * 2_000);
    idp.people.alice.roles = ['member'];
    await until('the role to be gone', async () => await status() === 403, CHECK * 2_000);
  });

  await check('a session that is due outlives a restart of the edge, and its first request waits for nothing to go wrong', async () => {
    await due();
    await world.site.restart();
    const { status, took, text } = await alice.fetch('/account/x');
    assert.equal(status, 200, `${text} ${idp.grants.failed}`);
    assert.deepEqual(idp.grants.failed, []);
    return `${Math.round(took)} ms`;
  });

  await check('keys that the provider changed are found, and who is in stays in', async () => {
    idp.rotate();
    const bob = await (await Person.arrive(world)).signIn('bob');
    assert.equal(await bob.user(), 'bob');
    await due();
    assert.equal((await alice.fetch('/account/x')).status, 200);
    assert.deepEqual(idp.grants.failed, []);
  });
}
