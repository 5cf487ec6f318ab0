import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** @type {import('next').NextConfig} */
export default {
  // Packages and shared data are one folder up.
  turbopack: { root: dirname(here) },
  outputFileTracingRoot: dirname(here),
  poweredByHeader: false,
  // So that a mixed page would be noticed: everything says which generation it is of.
  headers: async () => [{ source: '/:path*', headers: [{ key: 'X-Generation', value: 'new' }] }],
};
