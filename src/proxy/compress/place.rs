//! How many answers a core compresses at one time: each encoder holds memory as long as its client takes to read.

use std::{cell::Cell, rc::Rc};

use crate::{
    observe::{
        self, Held,
        metrics::{Family, Label},
    },
    policy::compress::Encoding,
};

/// A core's places for encoders.
#[derive(Debug, Default)]
pub struct Places(Rc<Cell<usize>>);

impl Places {
    /// Takes one of `max`. `None`, and counted: all are taken.
    pub(super) fn take(&self, max: usize, encoding: Encoding, observe: &Rc<observe::Core>) -> Option<Place> {
        let word = Label::Word(encoding.as_str());
        if self.0.get() >= max {
            observe.count(Family::CompressionsRefused, &[word], 1);
            return None;
        }
        self.0.set(self.0.get() + 1);
        Some(Place {
            taken: Rc::clone(&self.0),
            encoding,
            observe: Rc::clone(observe),
            before: 0,
            after: 0,
            _held: observe.hold(Family::Compressing, &[word]),
        })
    }
}

/// A place that is taken until it is dropped. Counts what goes through the encoder in it.
#[derive(Debug)]
pub(super) struct Place {
    taken: Rc<Cell<usize>>,
    encoding: Encoding,
    observe: Rc<observe::Core>,
    /// Bytes that the encoder was given.
    pub(super) before: u64,
    /// Bytes that it made of them.
    pub(super) after: u64,
    _held: Held,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.set(self.taken.get().saturating_sub(1));
        let word = [Label::Word(self.encoding.as_str())];
        for (family, bytes) in [
            (Family::CompressionTaken, self.before),
            (Family::CompressionGiven, self.after),
        ] {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.observe.count(family, &word, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::Places;
    use crate::{
        observe::{self, metrics::Family},
        policy::compress::Encoding,
    };

    #[test]
    fn places_are_bounded_and_given_back() {
        let (places, observe) = (Places::default(), Rc::new(observe::Core::new(None)));
        let take = || places.take(2, Encoding::Gzip, &observe);
        let shows = |family| observe.tally().totals().number(family, &["gzip"]);
        let (first, mut second) = (take(), take().unwrap());
        assert!(first.is_some());
        assert!(take().is_none(), "a third");
        assert_eq!(shows(Family::Compressing), 2);
        assert_eq!(shows(Family::CompressionsRefused), 1);
        (second.before, second.after) = (1_000, 300);
        drop(second);
        assert!(take().is_some(), "one went");
        assert_eq!(shows(Family::Compressing), 1);
        assert_eq!(shows(Family::CompressionTaken), 1_000);
        assert_eq!(shows(Family::CompressionGiven), 300);
    }
}
