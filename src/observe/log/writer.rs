//! The one thread that writes access-log lines, so that a slow disk or terminal never slows a request.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::Duration,
};

use super::{BATCHES_MAX, Batch, Format, LogBuffer, Message, Target};

/// Whoever may log reads it, nobody else: lines name people's addresses and what they looked at.
const FILE_MODE: u32 = 0o640;

/// What writer and control tell each other without waiting.
#[derive(Debug, Default)]
struct Signs {
    reopen: AtomicBool,
    stop: AtomicBool,
    lines_lost: AtomicU64,
    lines_written: AtomicU64,
}

/// The writer thread, owned by whoever starts and stops the program.
#[derive(Debug)]
pub struct Writer {
    out: SyncSender<Message>,
    done: Receiver<()>,
    signs: Arc<Signs>,
}

/// What others may ask of the writer.
#[derive(Debug, Clone)]
pub struct WriterHandle {
    out: SyncSender<Message>,
    signs: Arc<Signs>,
}

impl Writer {
    /// Opens the target and starts the thread. A file that is new, here or later, begins with `file_head`; so does standard output.
    ///
    /// # Errors
    /// The file can't be opened for appending, or the system has no thread left.
    pub fn start(target: Target, file_head: &'static str) -> io::Result<Self> {
        Self::start_with(Sink::open(target, file_head)?)
    }

    /// Starts the thread on any sink: tests look at what arrives, and hold it up.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start_on(sink: Box<dyn Write + Send>) -> io::Result<Self> {
        Self::start_with(Sink::Other(sink))
    }

    fn start_with(sink: Sink) -> io::Result<Self> {
        let (out, queue) = sync_channel(BATCHES_MAX);
        let (finished, done) = sync_channel(1);
        let signs = Arc::new(Signs::default());
        let scribe = Scribe {
            sink,
            queue,
            signs: Arc::clone(&signs),
            failing: false,
        };
        thread::Builder::new().name("access-log".into()).spawn(move || {
            scribe.run();
            let _ = finished.try_send(());
        })?;
        Ok(Self { out, done, signs })
    }

    /// A core's buffer in front of this writer.
    #[must_use]
    pub fn buffer(&self, format: Format) -> LogBuffer {
        LogBuffer::new(format, self.out.clone())
    }

    /// What others may ask of it.
    #[must_use]
    pub fn handle(&self) -> WriterHandle {
        WriterHandle {
            out: self.out.clone(),
            signs: Arc::clone(&self.signs),
        }
    }

    /// Writes what is queued, then ends the thread; waits for that no longer than `within`.
    ///
    /// Cores hand over their last lines (`LogBuffer::flush`) before. Returns whether everything was written or counted as lost in time.
    #[must_use]
    pub fn flush_and_stop(self, within: Duration) -> bool {
        self.signs.stop.store(true, Ordering::Release);
        let _ = self.out.try_send(Message::Wake); // a full queue wakes it as well
        self.done.recv_timeout(within).is_ok()
    }
}

impl WriterHandle {
    /// Opens the file again at the next occasion: it was moved away (SIGUSR1). Never waits.
    pub fn reopen(&self) {
        self.signs.reopen.store(true, Ordering::Release);
        let _ = self.out.try_send(Message::Wake);
    }

    /// Lines that could not be written, since the start.
    #[must_use]
    pub fn lines_lost(&self) -> u64 {
        self.signs.lines_lost.load(Ordering::Relaxed)
    }

    /// Lines written, since the start.
    #[must_use]
    pub fn lines_written(&self) -> u64 {
        self.signs.lines_written.load(Ordering::Relaxed)
    }
}

/// Where bytes end.
enum Sink {
    Stdout,
    File {
        target: std::path::PathBuf,
        file: File,
        file_head: &'static str,
    },
    Other(Box<dyn Write + Send>),
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "Stdout",
            Self::File { .. } => "File",
            Self::Other(_) => "Other",
        })
    }
}

impl Sink {
    fn open(target: Target, file_head: &'static str) -> io::Result<Self> {
        Ok(match target {
            Target::Stdout => {
                let mut sink = Self::Stdout;
                let _ = sink.write(file_head.as_bytes()); // lines that can't be written are counted
                sink
            }
            Target::File(target) => Self::File {
                file: open(&target, file_head)?,
                target,
                file_head,
            },
        })
    }

    /// Opens a file anew; the old one stays when that fails.
    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File {
            target,
            file,
            file_head,
        } = self
        {
            *file = open(target, file_head)?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            Self::File { file, .. } => file.write_all(bytes),
            Self::Other(sink) => sink.write_all(bytes).and_then(|()| sink.flush()),
        }
    }
}

fn open(path: &Path, file_head: &str) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .open(path)?;
    if !file_head.is_empty() && file.metadata().is_ok_and(|about| about.len() == 0) {
        file.write_all(file_head.as_bytes())?;
    }
    Ok(file)
}

/// The thread's own state.
#[derive(Debug)]
struct Scribe {
    sink: Sink,
    queue: Receiver<Message>,
    signs: Arc<Signs>,
    failing: bool,
}

impl Scribe {
    fn run(mut self) {
        while !self.signs.stop.load(Ordering::Acquire) {
            match self.queue.recv() {
                Ok(message) => self.take(message),
                Err(_) => return, // every core and the owner have gone
            }
        }
        loop {
            match self.queue.try_recv() {
                Ok(message) => self.take(message),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, message: Message) {
        if self.signs.reopen.swap(false, Ordering::AcqRel)
            && let Err(error) = self.sink.reopen()
        {
            tracing::warn!(%error, "the access log could not be opened again; lines go on into the old file");
        }
        if let Message::Lines(batch) = message {
            self.write(batch);
        }
    }

    fn write(&mut self, batch: Batch) {
        let Batch {
            mut bytes,
            lines,
            home,
        } = batch;
        match self.sink.write(&bytes) {
            Ok(()) => {
                self.failing = false;
                self.signs.lines_written.fetch_add(lines, Ordering::Relaxed);
            }
            Err(error) => {
                self.signs.lines_lost.fetch_add(lines, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "the access log can't be written; lines are lost until it can");
                }
            }
        }
        bytes.clear();
        let _ = home.try_send(bytes);
    }
}
