//! The futures of a connection's streams, polled by the connection's one task and only when they were woken.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

use crate::wire::pin_in_place;

/// Slots (without their futures) that an idle connection keeps.
const SLOTS_KEPT: usize = 4;

/// Which futures want to be polled, one bit each.
#[derive(Debug)]
pub(super) struct Ready {
    words: Box<[AtomicU64]>,
    /// The task is at it and will look again: nobody has to wake it.
    polling: AtomicBool,
    task: AtomicWaker,
}

impl Ready {
    /// Bits for this many futures.
    pub(super) fn new(count: usize) -> Self {
        Self {
            words: (0..count.div_ceil(64).max(1))
                .map(|_| AtomicU64::new(0))
                .collect(),
            polling: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    /// Begins a turn of the task. What wakes a future from here on wakes nobody else.
    pub(super) fn begin(&self, cx: &Context<'_>) {
        self.polling.store(true, SeqCst);
        self.task.register(cx.waker());
    }

    /// Ends it. True: somebody was woken since the last look.
    pub(super) fn end(&self) -> bool {
        self.polling.store(false, SeqCst);
        self.words.iter().any(|word| word.load(SeqCst) != 0)
    }

    /// Whether any future wants to be polled.
    pub(super) fn any(&self) -> bool {
        self.words.iter().any(|word| word.load(SeqCst) != 0)
    }

    /// Has the task poll the future at `slot`.
    pub(super) fn mark(&self, slot: usize) {
        if let Some(word) = self.words.get(slot / 64) {
            word.fetch_or(1 << (slot % 64), SeqCst);
        }
        self.wake_task();
    }

    /// Has the task look at its connection.
    pub(super) fn wake_task(&self) {
        if !self.polling.load(SeqCst) {
            self.task.wake();
        }
    }

    /// Takes the bits of the word at `index`.
    fn take(&self, index: usize) -> u64 {
        match self.words.get(index) {
            Some(word) if word.load(SeqCst) != 0 => word.swap(0, SeqCst),
            _ => 0,
        }
    }
}

/// Wakes one future.
#[derive(Debug)]
struct Bell {
    ready: Arc<Ready>,
    slot: usize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ready.mark(self.slot);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.mark(self.slot);
    }
}

#[derive(Debug)]
struct Slot<F> {
    future: Option<Pin<Box<F>>>,
    waker: Waker,
}

/// Futures by slot.
#[derive(Debug)]
pub(super) struct Tasks<F> {
    slots: Vec<Slot<F>>,
    ready: Arc<Ready>,
    /// Where the next round begins, so that each slot is first at times.
    first: usize,
}

impl<F: Future<Output = ()>> Tasks<F> {
    pub(super) fn new(ready: Arc<Ready>) -> Self {
        Self {
            slots: Vec::new(),
            ready,
            first: 0,
        }
    }

    /// Puts a future in. It is polled in the next round.
    pub(super) fn spawn(&mut self, slot: usize, future: impl FnOnce() -> F) {
        while self.slots.len() <= slot {
            let bell = Bell {
                ready: Arc::clone(&self.ready),
                slot: self.slots.len(),
            };
            self.slots.push(Slot {
                future: None,
                waker: Waker::from(Arc::new(bell)),
            });
        }
        if let Some(place) = self.slots.get_mut(slot) {
            place.future = Some(pin_in_place(future));
            self.ready.mark(slot);
        }
    }

    /// Drops a future.
    pub(super) fn drop_at(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.future = None;
        }
    }

    /// Drops all, and nearly all of their memory.
    pub(super) fn clear(&mut self) {
        self.slots.truncate(SLOTS_KEPT);
        self.slots.shrink_to(SLOTS_KEPT);
        for slot in &mut self.slots {
            slot.future = None;
        }
    }

    /// Polls the future at `slot`. True: it has ended, and is gone.
    pub(super) fn poll(&mut self, slot: usize) -> bool {
        let Some(place) = self.slots.get_mut(slot) else {
            return false;
        };
        let Some(future) = place.future.as_mut() else {
            return false;
        };
        let polled = future.as_mut().poll(&mut Context::from_waker(&place.waker));
        if polled.is_ready() {
            place.future = None;
        }
        polled == Poll::Ready(())
    }

    /// Polls every future that was woken, once. Calls `ended` for each that ends.
    pub(super) fn poll_woken(&mut self, mut ended: impl FnMut(usize)) {
        let words = self.ready.words.len();
        self.first = if words > 1 { (self.first + 1) % words } else { 0 };
        for step in 0..words {
            let index = (self.first + step) % words;
            let mut bits = self.ready.take(index);
            while bits != 0 {
                let slot = index * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if self.poll(slot) {
                    ended(slot);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        future::poll_fn,
        rc::Rc,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Poll, Wake, Waker},
    };

    use super::{Ready, Tasks};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn only_woken_futures_are_polled_and_the_task_is_woken_only_from_outside() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let ready = Arc::new(Ready::new(130));
        let mut tasks = Tasks::new(Arc::clone(&ready));
        let polled = Rc::new(RefCell::new(Vec::new()));
        let wakers = Rc::new(RefCell::new(Vec::new()));
        ready.begin(&Context::from_waker(&waker));
        for slot in [0, 3, 129] {
            let (polled, wakers) = (Rc::clone(&polled), Rc::clone(&wakers));
            tasks.spawn(slot, || {
                poll_fn(move |cx| {
                    polled.borrow_mut().push(slot);
                    wakers.borrow_mut().push(cx.waker().clone());
                    let times = polled.borrow().iter().filter(|other| **other == slot).count();
                    if times == 2 {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
            });
        }
        let mut ended = Vec::new();
        tasks.poll_woken(|slot| ended.push(slot));
        polled.borrow_mut().sort_unstable();
        assert_eq!((&*polled.borrow(), &ended), (&vec![0, 3, 129], &vec![]));
        assert!(!ready.end());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        for waker in wakers.borrow().iter() {
            waker.wake_by_ref();
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "once is enough");
        assert!(ready.end());
        tasks.drop_at(3);
        tasks.poll_woken(|slot| ended.push(slot));
        ended.sort_unstable();
        assert_eq!(ended, [0, 129]);
        tasks.poll_woken(|_| panic!("nobody was woken"));
    }
}
