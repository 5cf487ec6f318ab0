import { Suspense } from 'react';
import { waitAt } from '../../../../../gates.mjs';

/** Sent at once; what `Late` waits for follows in the same answer. */
export default async function Streamed({ searchParams }) {
  const { key = 'none' } = await searchParams;
  return (
    <section className="hero">
      <span className="tag">new</span>
      <h1 id="first">Here already</h1>
      <Suspense fallback={<p id="waiting">The rest is on its way …</p>}>
        <Late gate={key} />
      </Suspense>
    </section>
  );
}

async function Late({ gate }) {
  const opened = await waitAt(gate);
  return <p id="last">{opened ? 'And here is the rest.' : 'Nobody came.'}</p>;
}
