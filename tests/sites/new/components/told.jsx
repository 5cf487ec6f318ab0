import { headers } from 'next/headers';

const NAMES = ['banyan-flags', 'x-forwarded-proto', 'x-forwarded-host', 'x-request-id', 'via', 'traceparent'];

/** What the router told this backend about the request. */
export async function Told() {
  const got = await headers();
  return (
    <section className="card" id="told">
      <h2>What the router says</h2>
      <dl>
        {NAMES.map((name) => [
          <dt key={`${name}-t`}>{name}</dt>,
          <dd key={name} data-header={name}>{got.get(name) ?? '–'}</dd>,
        ])}
      </dl>
    </section>
  );
}
