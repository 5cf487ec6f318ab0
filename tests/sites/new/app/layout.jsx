import Link from 'next/link';
import './site.css';

export const metadata = {
  title: 'Banyan Courses',
  description: 'The new generation',
  other: { generation: 'new' },
};

export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>
        <header className="top">
          <Link href="/courses/rust" className="brand">banyan<span>courses</span></Link>
          <nav>
            <a href="/">Home</a>
            <a href="/cart">Cart</a>
          </nav>
        </header>
        <main>{children}</main>
        <footer>Served by the new generation (Next.js)</footer>
      </body>
    </html>
  );
}
