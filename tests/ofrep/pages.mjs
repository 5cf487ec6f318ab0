// Two backends: both say which side they are, the first also serves a page with OpenFeature's web SDK as npm has it.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';

const file = (path) => readFileSync(fileURLToPath(new URL(`./node_modules/@openfeature/${path}`, import.meta.url)));

const MODULES = {
  '@openfeature/core': 'core/dist/esm/index.js',
  '@openfeature/web-sdk': 'web-sdk/dist/esm/index.js',
  '@openfeature/ofrep-core': 'ofrep-web-provider/node_modules/@openfeature/ofrep-core/index.esm.js',
  '@openfeature/ofrep-web-provider': 'ofrep-web-provider/index.esm.js',
};

const imports = Object.fromEntries(Object.entries(MODULES).map(([name, path]) => [name, `/npm/${path}`]));

const PAGE = `<!doctype html><meta charset="utf-8"><title>flags</title>
<script type="importmap">${JSON.stringify({ imports })}</script>
<p>half <output id="half"></output></p><p>ramp <output id="ramp"></output></p>
<script type="module">
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
const client = OpenFeature.getClient();
const show = () => {
  for (const key of ['half', 'ramp']) document.getElementById(key).value = client.getStringValue(key, 'none');
};
client.addHandler(ProviderEvents.ConfigurationChanged, show);
await OpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl: location.origin + '/.banyan' }), { targetingKey: 'whoever' });
show();
</script>`;

function serve(side) {
  const server = createServer((request, response) => {
    const path = request.url.split('?')[0];
    const modules = Object.values(MODULES).find((module) => path === `/npm/${module}`);
    if (modules) {
      response.setHeader('content-type', 'text/javascript');
      response.end(file(modules));
    } else if (path === '/flags') {
      response.setHeader('content-type', 'text/html');
      response.end(PAGE);
    } else if (path === '/side') {
      response.setHeader('content-type', 'text/html');
      response.end(`<!doctype html><title>${side}</title>`);
    } else {
      response.statusCode = 204;
      response.end();
    }
  });
  server.unref();
  return new Promise((done) => {
    server.listen(0, '127.0.0.1', () => done(`http://127.0.0.1:${server.address().port}`));
  });
}

export async function startPages() {
  return { legacy: await serve('legacy'), fresh: await serve('new') };
}
