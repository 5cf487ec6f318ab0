import Link from 'next/link';
import { notFound } from 'next/navigation';
import courses from '../../../../courses.json';
import { Enroll } from '../../../components/enroll.jsx';
import { Told } from '../../../components/told.jsx';

export default async function Course({ params }) {
  const { slug } = await params;
  const course = courses.find((known) => known.slug === slug);
  if (!course) notFound();
  return (
    <>
      <section className="hero">
        <span className="tag">new</span>
        <h1>{course.title}</h1>
        <div>{course.teacher} · {course.hours} hours · ${course.price}</div>
        <Enroll slug={slug} />
      </section>
      <div className="cards">
        <section className="card">
          <h2>Inside</h2>
          <ul>
            <li><Link id="lessons" href={`/courses/${slug}/lessons`} prefetch={false}>{course.lessons.length} lessons</Link></li>
            <li><a href={`/courses/${slug}/stream`}>Streamed page</a></li>
          </ul>
        </section>
        <Told />
      </div>
    </>
  );
}
