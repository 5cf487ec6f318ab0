//! One kept answer as a file: a mark, two lengths, a SHA-256 of all that follows, what is known of it, its body.
//!
//! A file that was cut off, or in which one bit is another, is no answer.

use std::{io, io::Write, time::Duration};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::StatusCode;

use super::codec::{In, Out};
use crate::{
    cache::store::{Chunks, Entry, KeyHash, Labels, New, Stamp, Terms, Times},
    clock::UnixTime,
    fields::Fields,
};

/// How a file begins.
const MARK: &[u8; 8] = b"banyan\x01\n";
const HASH_BYTES: usize = 32;
/// Bytes before what is known of the answer.
const FRONT_BYTES: usize = MARK.len() + 8 + 8 + HASH_BYTES;

/// An answer that was read.
#[derive(Debug)]
pub(in crate::cache::store) struct Restored {
    pub(in crate::cache::store) hash: KeyHash,
    /// Host, target, and the rest of its key.
    pub(in crate::cache::store) texts: [Box<str>; 3],
    pub(in crate::cache::store) new: New,
}

/// Writes an answer that was asked for at `stamp`.
pub(super) fn write(to: &mut impl Write, entry: &Entry, stamp: u64) -> io::Result<u64> {
    let head = head(entry, stamp);
    let mut hash = Context::new(&SHA256);
    hash.update(&head);
    let body = entry.body();
    body.pieces().iter().for_each(|piece| hash.update(piece));
    let mut front = Out(MARK.to_vec());
    front.number(head.len() as u64);
    front.number(body.len());
    front.0.extend_from_slice(hash.finish().as_ref());
    to.write_all(&front.0)?;
    to.write_all(&head)?;
    for piece in body.pieces() {
        to.write_all(piece)?;
    }
    Ok((FRONT_BYTES + head.len()) as u64 + body.len())
}

/// Reads an answer. `None`: it is none, or not as it was written.
pub(super) fn read(bytes: &Bytes) -> Option<Restored> {
    let mut front = In(bytes);
    if front.take(MARK.len())? != MARK {
        return None;
    }
    let head_len = usize::try_from(front.number()?).ok()?;
    let body_len = usize::try_from(front.number()?).ok()?;
    let known = front.take(HASH_BYTES)?;
    let whole = front.0;
    if head_len.checked_add(body_len)? != whole.len() {
        return None;
    }
    let mut hash = Context::new(&SHA256);
    hash.update(whole);
    if hash.finish().as_ref() != known {
        return None;
    }
    let head = whole.get(..head_len)?;
    let body = bytes.slice(FRONT_BYTES.checked_add(head_len)?..);
    read_head(&mut In(head), body)
}

fn head(entry: &Entry, stamp: u64) -> Vec<u8> {
    let mut out = Out::default();
    out.0.extend_from_slice(&entry.ticket.key.0.to_le_bytes());
    for text in [entry.host(), entry.target(), entry.rest()] {
        out.bytes(text.as_bytes());
    }
    out.number(stamp);
    out.number(u64::from(entry.status().as_u16()));
    out.count(entry.fields().len());
    for (name, value) in entry.fields().iter() {
        out.bytes(name.as_str().as_bytes());
        out.bytes(value.as_bytes());
    }
    out.count(entry.selected().len());
    for (name, value) in entry.selected() {
        out.bytes(name.as_bytes());
        out.optional(value.as_deref());
    }
    let times = entry.times();
    out.number(times.asked.millis);
    out.number(times.answered.millis);
    for time in [
        times.initial_age,
        times.lifetime,
        times.while_revalidate,
        times.if_error,
    ] {
        out.number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }
    let terms = entry.terms();
    for flag in [
        terms.no_cache,
        terms.must_revalidate,
        terms.shared,
        terms.heuristic,
    ] {
        out.byte(u8::from(flag));
    }
    let labels = entry.labels();
    out.optional(labels.route.as_deref().map(str::as_bytes));
    out.optional(labels.squad.as_deref().map(str::as_bytes));
    out.count(labels.flags.len());
    for (flag, variant) in &labels.flags {
        out.bytes(flag.as_bytes());
        out.bytes(variant.as_bytes());
    }
    for list in [&labels.groups[..], &labels.tags[..]] {
        out.count(list.len());
        list.iter().for_each(|label| out.bytes(label.as_bytes()));
    }
    out.0
}

fn read_head(head: &mut In<'_>, body: Bytes) -> Option<Restored> {
    let hash = KeyHash(u128::from_le_bytes(*head.take(16)?.first_chunk()?));
    let (host, target, rest) = (head.text()?, head.text()?, head.text()?);
    let stamp = head.number()?;
    let status = StatusCode::from_u16(u16::try_from(head.number()?).ok()?).ok()?;
    let mut fields = Fields::new();
    for (name, value) in head.many(|head| Some((head.text()?, head.bytes()?)))? {
        fields.append(name, value);
    }
    let selected = head.many(|head| Some((head.text()?.into(), head.optional()?.map(Into::into))))?;
    let mut moment = || head.number().map(|millis| UnixTime { millis });
    let (asked, answered) = (moment()?, moment()?);
    let mut span = || head.number().map(Duration::from_millis);
    let times = Times {
        asked,
        answered,
        initial_age: span()?,
        lifetime: span()?,
        while_revalidate: span()?,
        if_error: span()?,
    };
    let terms = Terms {
        no_cache: head.flag()?,
        must_revalidate: head.flag()?,
        shared: head.flag()?,
        heuristic: head.flag()?,
        memory_only: false,
    };
    let mut name = || {
        Some(
            head.optional()?
                .map(|name| std::str::from_utf8(name).map(Into::into)),
        )
    };
    let labels = Labels {
        route: name()?.transpose().ok()?,
        squad: name()?.transpose().ok()?,
        flags: head
            .many(|head| Some((head.text()?.into(), head.text()?.into())))?
            .into(),
        groups: head.many(|head| head.text().map(Into::into))?.into(),
        tags: head.many(|head| head.text().map(Into::into))?.into(),
    };
    let body = match body.is_empty() {
        true => Chunks::default(),
        false => Chunks::new(vec![body]),
    };
    let new = New {
        status,
        fields,
        body,
        selected: selected.into(),
        times,
        terms,
        labels,
        stamp: Stamp::at(stamp),
    };
    head.0.is_empty().then(|| Restored {
        hash,
        texts: [host, target, rest].map(Into::into),
        new,
    })
}
