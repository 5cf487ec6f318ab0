//! Long work lets a core's own thread come in between.
//!
//! The control plane runs on the cores that serve visitors. Linux lets a thread that has begun its turn finish it (EEVDF's
//! `RUN_TO_PARITY`, 1.4 ms and more), however low its priority, and a request that comes meanwhile waits that long. Who works for
//! longer than a tenth of a millisecond gives way in between.

/// Lets other threads of this core run, if any is waiting.
pub fn give_way() {
    std::thread::yield_now();
}
