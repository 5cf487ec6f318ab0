// Coming in: from a page, from many at once, and with the right role or without.

import assert from 'node:assert/strict';
import { check } from '../../sites/proof/report.mjs';
import { until } from '../../sites/proof/until.mjs';
import { Person } from '../site.mjs';

export async function signIn(world) {
  const { idp, app } = world;
  const alice = await Person.arrive(world);

  await check('a script that nobody is signed in for is told so, as problem JSON', async () => {
    await alice.open('/public/start');
    const told = await alice.fetch('/account/orders');
    assert.equal(told.status, 401);
    assert.equal(told.type, 'application/problem+json');
    assert.equal(JSON.parse(told.text).status, 401);
  });

  await check('a page leads to the provider and back to itself, with its query', async () => {
    await alice.open('/account/orders?page=2&q=a%20b');
    assert.ok(alice.page.url().startsWith(`${idp.issuer}/interaction/`), alice.page.url());
    const asked = idp.asked.at(-1);
    assert.equal(asked.code_challenge_method, 'S256');
    assert.ok(asked.state.length >= 43 && asked.nonce.length >= 43 && !asked.prompt && !asked.max_age);
    await alice.tell('alice');
    assert.equal(alice.at, '/account/orders?page=2&q=a%20b');
    assert.equal(await alice.user(), 'alice');
  });

  await check('scripts are told who it is, and see no cookie', async () => {
    const me = JSON.parse((await alice.fetch('/.banyan/me')).text);
    assert.deepEqual([me.subject, me.name, me.roles, me.email], ['alice', '앨리스', ['member'], 'alice@example.test']);
    assert.equal(await alice.page.evaluate(() => document.cookie), '');
    const cookies = await alice.cookies();
    assert.deepEqual(cookies.map(({ name }) => name), ['__Host-banyan-session']);
    assert.ok(cookies.every(({ secure, httpOnly, sameSite, path }) => secure && httpOnly && sameSite === 'Lax' && path === '/'));
  });

  await check('the application gets a name and roles, and no token or cookie of the gate', () => {
    const seen = app.seen.at(-1);
    assert.deepEqual([seen['banyan-user'], seen['banyan-roles']], ['alice', 'member']);
    assert.ok(!seen.authorization && !(seen.cookie ?? '').includes('__Host-banyan'), JSON.stringify(seen));
  });

  await check('a role from the claims is asked for: 403 without, a page with', async () => {
    const refused = await alice.open('/staff');
    assert.equal(refused.status(), 403);
    await world.picture(alice.page, 'role-missing');
    const bob = await (await Person.arrive(world)).signIn('bob', '/staff');
    assert.equal(bob.at, '/staff');
    assert.equal(await bob.user(), 'bob');
  });

  await check('whom the provider lets go without signing in gets a page that says so', async () => {
    const nobody = await Person.arrive(world);
    await nobody.open('/account/home');
    await nobody.tell('nobody-knows-me');
    assert.match(await nobody.page.textContent('h1'), /not signed in/);
    await world.picture(nobody.page, 'declined');
    await nobody.page.click('main a');
    await nobody.tell('alice');
    assert.equal(nobody.at, '/account/home');
  });

  await check('a way back that began in another browser signs nobody in', async () => {
    const [one, other] = [await Person.arrive(world), await Person.arrive(world)];
    await one.open('/account/home');
    idp.withheld = [];
    await one.page.fill('input[name=who]', 'bob');
    await one.page.click('button[value=password]');
    const back = await until('the way back', () => idp.withheld[0]);
    idp.withheld = null;
    const answer = await other.page.goto(back);
    assert.equal(answer.status(), 400);
    await other.open('/public/start');
    assert.equal((await other.fetch('/.banyan/me')).status, 401);
    assert.equal((await one.page.goto(back)).status(), 200, 'the code was not spent on that');
    assert.equal(await one.user(), 'bob');
  });
}

export async function tabs(world) {
  const alice = await Person.arrive(world);
  const paths = Array.from({ length: 6 }, (_, at) => `/account/tab-${at}`);
  const pages = await Promise.all(paths.map(() => alice.context.newPage()));

  await check('six tabs at once all reach the provider, with three cookies between them', async () => {
    for (const [at, page] of pages.entries()) await alice.open(paths[at], page);
    const cookies = await alice.cookies();
    assert.equal(cookies.length, 3, cookies.map(({ name }) => name).join());
  });

  await check('the newest tab signs in, and the others with it', async () => {
    await alice.tell('alice', 'password', pages[5]);
    assert.equal(pages[5].url(), world.site.at(paths[5]));
    const users = await Promise.all(pages.slice(1, 5).map(async (page, at) => {
      await alice.open(paths[at + 1], page);
      return [page.url(), await page.textContent('#user')];
    }));
    assert.deepEqual(users, paths.slice(1, 5).map((path) => [world.site.at(path), 'alice']));
  });

  await check('a tab whose sign-in gave way says so, and one click leads on', async () => {
    await alice.tell('alice', 'password', pages[0]);
    assert.match(await pages[0].textContent('h1'), /has ended/);
    await world.picture(pages[0], 'gave-way');
    await Promise.all([pages[0].waitForURL(world.site.at('/')), pages[0].click('main a')]).catch(() => {});
    await alice.open(paths[0], pages[0]);
    assert.equal(await pages[0].textContent('#user'), 'alice');
  });
}
