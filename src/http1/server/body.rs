//! The body of a request, read from the connection only when somebody asks for it.

use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::Shared;
use crate::body::BodyError;

/// What an HTTP/1.1 client sends after its request head.
///
/// It reads only when polled, which is back pressure. The first poll sends `100 Continue` if the client waits for it. Once
/// its exchange is over it yields [`BodyError::Cancelled`].
pub struct RequestBody {
    conn: Shared,
    serial: u64,
}

impl RequestBody {
    pub(super) fn new(conn: Shared, serial: u64) -> Self {
        Self { conn, serial }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.conn.borrow_mut().poll_body(self.serial, cx)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.conn.borrow().body_is_done(self.serial)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.conn.borrow().body_size_hint(self.serial)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Ok(mut conn) = self.conn.try_borrow_mut() {
            conn.abandon_body(self.serial);
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}
