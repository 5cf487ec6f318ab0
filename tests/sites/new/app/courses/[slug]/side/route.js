export const dynamic = 'force-dynamic';

/** Which generation answers, and what the router told it. */
export async function GET(request) {
  return Response.json({ generation: 'new', flags: request.headers.get('banyan-flags') });
}
