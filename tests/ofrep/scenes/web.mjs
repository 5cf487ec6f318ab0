// The web provider in Node: it polls, and it listens.

import assert from 'node:assert/strict';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { EventSource } from 'eventsource';
import { check } from '../../sites/proof/report.mjs';
import { until } from '../../sites/proof/until.mjs';

globalThis.EventSource = EventSource;

/** A client with a provider of its own, and the statuses that its questions got. */
async function connected(domain, world, options) {
  const statuses = [];
  const fetchImplementation = async (...asked) => {
    const answer = await fetch(...asked);
    statuses.push(answer.status);
    return answer;
  };
  const provider = new OFREPWebProvider({ baseUrl: world.inside, fetchImplementation, cacheMode: 'disabled', ...options });
  await OpenFeature.setContext(domain, { targetingKey: 'v1' });
  await OpenFeature.setProviderAndWait(domain, provider);
  return { client: OpenFeature.getClient(domain), statuses };
}

export async function polling(world) {
  await check('web provider, polling: values come, then 304, then a change', async () => {
    const { client, statuses } = await connected('polling', world, { changeDetection: 'polling', pollInterval: 150 });
    const ramp = client.getStringDetails('ramp', 'none');
    assert.deepEqual([ramp.value, ramp.variant, ramp.reason], ['legacy', 'legacy', 'SPLIT']);
    assert.equal(client.getNumberValue('number', 0), 3);
    await until('a 304', () => statuses.includes(304) || null);
    await world.ramp(100);
    await until('the change', () => client.getStringValue('ramp', 'none') === 'new' || null);
    await world.ramp(0);
    await OpenFeature.clearProviders();
    return statuses.join(' ');
  });
}

export async function streaming(world) {
  await check('web provider, listening: a change is seen within a second, after a restart as well', async () => {
    const { client, statuses } = await connected('streaming', world, {});
    let changes = 0;
    client.addHandler(ProviderEvents.ConfigurationChanged, () => { changes += 1; });
    const change = async (share, value) => {
      const began = performance.now();
      await Promise.all([
        world.ramp(share),
        until(value, () => client.getStringValue('ramp', 'none') === value || null),
      ]);
      return performance.now() - began;
    };
    const first = await change(100, 'new');
    assert.ok(first < 1000, `${first} ms`);
    assert.ok(changes > 0);
    await world.router.restart();
    await until('it listens again', async () => {
      const metrics = await (await fetch(`http://127.0.0.1:${world.router.ports.admin}/metrics`)).text();
      return /banyan_flag_streams_open\{listener="private"\} [1-9]/.test(metrics) || null;
    });
    const second = await change(0, 'legacy');
    assert.ok(second < 1000, `${second} ms after a restart`);
    await OpenFeature.clearProviders();
    return `${first.toFixed(0)} ms, ${second.toFixed(0)} ms after a restart; statuses ${statuses.join(' ')}`;
  });
}
