'use client';

import { useEffect, useState } from 'react';

/** A button that only works once React has taken over the page, and what the page's own XHR says of its side. */
export function Enroll({ slug }) {
  const [count, setCount] = useState(0);
  const [side, setSide] = useState('…');
  useEffect(() => {
    fetch(`/courses/${slug}/side`).then((answer) => answer.json()).then((told) => setSide(told.generation));
  }, [slug]);
  return (
    <>
      <button id="enroll" onClick={() => setCount(count + 1)}>
        {count === 0 ? 'Enroll now' : `Enrolled ${count}`}
      </button>
      <p>XHR answered by: <b id="xhr">{side}</b></p>
    </>
  );
}
