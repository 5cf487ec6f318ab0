// The new generation: Next.js, built once, behind a server of our own so that port 0 works.

import { createServer } from 'node:http';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

process.env.NEXT_TELEMETRY_DISABLED = '1';
process.env.NODE_ENV = 'production';
const { default: next } = await import('next');

const dir = dirname(fileURLToPath(import.meta.url));
const app = next({ dev: false, dir, hostname: '127.0.0.1', port: 0, quiet: true });
await app.prepare();
const answer = app.getRequestHandler();
const server = createServer((request, response) => {
  if (request.url === '/healthz') return response.end('ok');
  return answer(request, response);
});
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ name: 'new', address: `http://127.0.0.1:${server.address().port}` }));
});
process.on('SIGTERM', () => process.exit(0));
