//! The access log: a line for each exchange, gathered by its core and written by one thread of its own.

mod cloudfront;
mod line;
mod stamp;
mod text;
mod writer;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use super::record::Record;
pub use cloudfront::host_name;
pub use line::Lines;
pub(super) use line::Middle;
pub use stamp::rfc3339;
pub use writer::{Writer, WriterHandle};

/// Bytes gathered before a batch is handed over.
pub const BATCH_BYTES: usize = 64 * 1024;
/// Batches that wait for the writer, over all cores: 4 MiB. When it is that far behind, whole batches are dropped and counted.
pub const BATCHES_MAX: usize = 64;
/// How long a line may wait in its core.
pub const LINE_AGE_MAX: Duration = Duration::from_millis(200);
/// Empty buffers that a core keeps for its next batches.
const SPARE_MAX: usize = 4;

/// What a line looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// One flat JSON object.
    Json,
    /// NCSA combined.
    Combined,
    /// CloudFront's standard log.
    CloudFront {
        /// This machine's name in it.
        location: Arc<str>,
    },
}

impl Format {
    /// What a file begins with.
    #[must_use]
    pub const fn file_head(&self) -> &'static str {
        match self {
            Self::Json | Self::Combined => "",
            Self::CloudFront { .. } => cloudfront::FILE_HEAD,
        }
    }

    /// Whether lines show [`Details`](super::details::Details).
    #[must_use]
    pub const fn shows_details(&self) -> bool {
        matches!(self, Self::CloudFront { .. })
    }
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, opened for appending, and again when asked.
    File(PathBuf),
}

/// Lines on their way to the writer, and where their buffer goes back to.
#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
    home: SyncSender<Vec<u8>>,
}

/// What the writer is told.
#[derive(Debug)]
enum Message {
    Lines(Batch),
    /// Look at the flags.
    Wake,
}

/// A core's lines until they are handed over. It never waits for the writer.
#[derive(Debug)]
pub struct LogBuffer {
    lines: Lines,
    bytes: Vec<u8>,
    count: u64,
    oldest: Option<Instant>,
    out: SyncSender<Message>,
    spare: Receiver<Vec<u8>>,
    home: SyncSender<Vec<u8>>,
}

impl LogBuffer {
    fn new(format: Format, out: SyncSender<Message>) -> Self {
        let (home, spare) = sync_channel(SPARE_MAX);
        Self {
            lines: Lines::new(format),
            bytes: Vec::new(),
            count: 0,
            oldest: None,
            out,
            spare,
            home,
        }
    }

    /// Adds a line; hands over when there are [`BATCH_BYTES`]. Returns how many lines had to be dropped.
    pub fn push(&mut self, record: &Record) -> u64 {
        self.push_around(record, None)
    }

    /// The same with the middle of the line that is known already.
    pub(super) fn push_around(&mut self, record: &Record, middle: Option<&Middle>) -> u64 {
        if self.bytes.capacity() == 0 {
            self.bytes = Vec::with_capacity(BATCH_BYTES + BATCH_BYTES / 8);
        }
        self.lines.write_around(record, middle, &mut self.bytes);
        self.count += 1;
        self.oldest.get_or_insert(record.began + record.timings.total);
        if self.bytes.len() >= BATCH_BYTES {
            self.flush()
        } else {
            0
        }
    }

    /// Whether lines show [`Details`](super::details::Details).
    pub(super) fn shows_details(&self) -> bool {
        self.lines.format().shows_details()
    }

    /// The middle of this record's line, and of all that agree in it.
    pub(super) fn middle(&self, record: &Record) -> Option<Middle> {
        self.lines.middle(record)
    }

    /// Hands over what is older than [`LINE_AGE_MAX`]. Returns how many lines had to be dropped.
    pub fn tick(&mut self, now: Instant) -> u64 {
        match self.oldest {
            Some(oldest) if now.saturating_duration_since(oldest) >= LINE_AGE_MAX => self.flush(),
            _ => 0,
        }
    }

    /// Hands over everything: the core goes idle, or ends. Returns how many lines had to be dropped.
    pub fn flush(&mut self) -> u64 {
        if self.count == 0 {
            return 0;
        }
        let fresh = self.spare.try_recv().unwrap_or_default();
        let batch = Batch {
            bytes: std::mem::replace(&mut self.bytes, fresh),
            lines: std::mem::take(&mut self.count),
            home: self.home.clone(),
        };
        self.oldest = None;
        match self.out.try_send(Message::Lines(batch)) {
            Ok(()) => 0,
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                self.drop_lines(message)
            }
        }
    }

    /// Takes the buffer of a batch that nobody wants back, and says how many lines were in it.
    fn drop_lines(&mut self, message: Message) -> u64 {
        let Message::Lines(mut batch) = message else {
            return 0;
        };
        if self.bytes.capacity() == 0 {
            batch.bytes.clear();
            self.bytes = batch.bytes;
        }
        batch.lines
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
