// The application behind the edge: each page shows what it was told.

import http from 'node:http';

const page = (request) => `<!doctype html><meta charset="utf-8"><title>${request.url.replace(/[<&]/g, '')}</title>
<h1>The application</h1>
<p>Signed in: <b id="user">${request.headers['banyan-user'] ?? 'nobody'}</b>, roles <b id="roles">${request.headers['banyan-roles'] ?? ''}</b></p>
<form method="post" action="/.banyan/logout?to=/public/bye"><button id="leave">Sign out</button></form>`;

/** Starts it; `seen` has the headers of every request. */
export async function startApp() {
  const seen = [];
  const server = http.createServer((request, response) => {
    seen.push(request.headers);
    if (request.url === '/account/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const beat = setInterval(() => response.write('data: 1\n\n'), 100);
      response.on('close', () => clearInterval(beat));
      return;
    }
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page(request));
  });
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  return { seen, address: `http://127.0.0.1:${server.address().port}` };
}
