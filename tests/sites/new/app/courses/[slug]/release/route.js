import { open } from '../../../../../gates.mjs';

export const dynamic = 'force-dynamic';

/** Lets a streamed page go on. */
export async function POST(request) {
  open(new URL(request.url).searchParams.get('key') ?? 'none');
  return Response.json({ opened: true });
}
