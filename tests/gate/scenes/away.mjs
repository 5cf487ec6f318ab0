// The provider hangs, or is gone: public pages don't notice, the others say so in time, and all goes on when it is back.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { check } from '../../sites/proof/report.mjs';
import { until } from '../../sites/proof/until.mjs';
import { CHECK, Person } from '../site.mjs';

/** Longest answer of a page that needs nobody, and of one that waits for the provider, in milliseconds. */
const [SOON, IN_TIME] = [1_000, 7_000];

export async function away(world) {
  const { idp } = world;
  const alice = await (await Person.arrive(world)).signIn('alice');
  const nobody = await Person.arrive(world);
  await nobody.open('/public/start');

  for (const [how, begin, end] of [
    ['hangs', () => { idp.hangs = true; }, () => { idp.hangs = false; }],
    ['is gone', () => idp.stop(), () => idp.again()],
  ]) {
    await begin();
    await check(`while it ${how}, a session that is not due counts on, and then gets 503 in time`, async () => {
      await pause(CHECK * 1000 + 100);
      const [due, open, without] = await Promise.all([
        alice.fetch('/account/x'), nobody.fetch('/public/x'), nobody.fetch('/account/x'),
      ]);
      assert.deepEqual([due.status, open.status, without.status], [503, 200, 401]);
      assert.equal(due.type, 'application/problem+json');
      assert.ok(due.took < IN_TIME && open.took < SOON && without.took < SOON, `${due.took} ${open.took} ${without.took}`);
      return `${Math.round(due.took)} ms; public ${Math.round(open.took)} ms`;
    });
    await check(`while it ${how}, people get a page`, async () => {
      const answer = await alice.open('/account/home');
      assert.equal(answer.status(), 503);
      assert.match(await alice.page.textContent('h1'), /^Sign-in doesn't work/);
      await world.picture(alice.page, `provider-${how.replace(' ', '-')}`);
      assert.equal((await alice.open('/public/x')).status(), 200);
    });
    await end();
    await check(`when it no longer ${how === 'hangs' ? how : 'is away'}, the session goes on`, async () => {
      await until('the session', async () => (await alice.fetch('/account/x')).status === 200, 15_000);
      assert.equal(JSON.parse((await alice.fetch('/.banyan/me')).text).subject, 'alice');
    });
  }
}
