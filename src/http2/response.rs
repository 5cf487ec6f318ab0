//! An answer's head, judged: what `h2` lets through and we don't.

use http::{HeaderMap, StatusCode, response::Parts};

use super::head::{Rejected, content_length, fields, head_bytes};
use crate::wire::SendCause;

/// The highest status that means anything (RFC 9110 section 15).
const STATUS_MAX: u16 = 599;

/// Judges a final answer's head, of at most `head_bytes_max`. Returns its content length, if it has one.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn judge(head: &Parts, head_bytes_max: usize) -> Result<Option<u64>, SendCause> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(SendCause::Malformed("101 over HTTP/2"));
    }
    if head.status.as_u16() > STATUS_MAX {
        return Err(SendCause::Malformed("unknown class of status"));
    }
    judge_fields(&head.headers, head_bytes_max)?;
    content_length(&head.headers).map_err(malformed)
}

/// Judges the fields of any answer, interim or final.
pub(super) fn judge_fields(headers: &HeaderMap, head_bytes_max: usize) -> Result<(), SendCause> {
    if head_bytes(headers) > head_bytes_max {
        return Err(SendCause::HeadTooLarge);
    }
    fields(headers).map_err(malformed)
}

fn malformed(rejected: Rejected) -> SendCause {
    SendCause::Malformed(match rejected {
        Rejected::Reset(what) => what,
        Rejected::Answer(malformed) => malformed.what,
    })
}
