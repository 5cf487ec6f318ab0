import Link from 'next/link';
import { notFound } from 'next/navigation';
import courses from '../../../../../courses.json';
import { Told } from '../../../../components/told.jsx';

export default async function Lessons({ params }) {
  const { slug } = await params;
  const course = courses.find((known) => known.slug === slug);
  if (!course) notFound();
  return (
    <>
      <section className="hero">
        <span className="tag">new</span>
        <h1 id="page-two">Lessons of {course.title}</h1>
        <Link href={`/courses/${slug}`} style={{ color: '#fff' }} prefetch={false}>Back to the course</Link>
      </section>
      <div className="cards">
        <section className="card">
          <h2>Lessons</h2>
          <ol>{course.lessons.map((lesson) => <li key={lesson}>{lesson}</li>)}</ol>
        </section>
        <Told />
      </div>
    </>
  );
}
