// The server provider in Node, on the private listener.

import assert from 'node:assert/strict';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature } from '@openfeature/server-sdk';
import { check } from '../../sites/proof/report.mjs';

export async function inServers(world) {
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: world.inside }));
  const client = OpenFeature.getClient();
  const someone = { targetingKey: 'v1' };
  await check('server provider: every type of value', async () => {
    assert.equal(await client.getBooleanValue('truth', false, someone), true);
    assert.equal(await client.getNumberValue('number', 0, someone), 3);
    assert.equal(await client.getStringValue('plan', 'none', someone), 'legacy');
    assert.deepEqual(await client.getObjectValue('object', {}, someone), { a: [1, 2] });
  });
  await check('server provider: the context decides, metadata comes along', async () => {
    const gold = await client.getStringDetails('plan', 'none', { targetingKey: 'v1', tier: 'gold' });
    assert.deepEqual([gold.value, gold.variant, gold.reason], ['new', 'new', 'TARGETING_MATCH']);
    assert.equal(gold.flagMetadata.owner, 'release');
    const sides = new Set();
    for (let n = 0; n < 32; n += 1) sides.add(await client.getStringValue('half', 'none', { targetingKey: `v${n}` }));
    assert.deepEqual([...sides].sort(), ['legacy', 'new']);
  });
  await check('server provider: errors are the protocol\'s, and the default follows', async () => {
    const none = await client.getStringDetails('none', 'mine', someone);
    assert.deepEqual([none.value, none.errorCode], ['mine', 'FLAG_NOT_FOUND']);
    const unkeyed = await client.getStringDetails('half', 'mine', {});
    assert.deepEqual([unkeyed.value, unkeyed.errorCode], ['mine', 'TARGETING_KEY_MISSING']);
    const mistyped = await client.getNumberDetails('plan', 7, someone);
    assert.deepEqual([mistyped.value, mistyped.errorCode], [7, 'TYPE_MISMATCH']);
    assert.equal(await client.getStringValue('off', 'mine', someone), 'mine');
  });
  await OpenFeature.clearProviders();
}
