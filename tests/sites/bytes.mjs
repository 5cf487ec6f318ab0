// A large download that is the same every time and that nobody has to keep on a disk.

import { createCipheriv, createHash } from 'node:crypto';

const PIECE = Buffer.alloc(64 * 1024);

/** `count` bytes that don't compress, piece by piece. */
export function* pieces(count) {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16, 9));
  for (let left = count; left > 0; left -= PIECE.length) {
    yield cipher.update(left < PIECE.length ? PIECE.subarray(0, left) : PIECE);
  }
}

/** SHA-256 of the same bytes, in hex. */
export function digest(count) {
  const hash = createHash('sha256');
  for (const piece of pieces(count)) hash.update(piece);
  return hash.digest('hex');
}
