//! Drills in force: started and ended by the control plane, looked at by every request. They are kept in memory alone: none outlives the
//! program.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use arc_swap::ArcSwap;

use super::Rule;
use crate::{
    clock::UnixTime,
    drill::{DRILLS_MAX, Drill, Wish},
    fields::Fields,
};

/// Drills in force.
#[derive(Debug, Default)]
pub struct Drills {
    /// Whether there is one: all that most requests look at.
    any: AtomicBool,
    list: ArcSwap<Vec<Arc<Drill>>>,
    number: AtomicU64,
}

/// As many drills as may be are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{DRILLS_MAX} drills are under way; end one first")]
pub struct Full;

impl Drills {
    /// The drill that meets a request, the one that began first; counted. `random` makes 64 random bits.
    #[inline]
    pub fn meet(
        &self,
        (rule, path): (&Rule, &str),
        (headers, visitor): (&Fields, Option<&str>),
        now: UnixTime,
        random: impl Fn() -> u64,
    ) -> Option<Arc<Drill>> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let list = self.list.load();
        let met = list.iter().find(|drill| {
            !drill.has_ended(now)
                && drill.at.has(&rule.name, path)
                && drill.whom.meets(headers, visitor, random())
        })?;
        met.count();
        Some(Arc::clone(met))
    }

    /// All that have not ended, the oldest first.
    #[must_use]
    pub fn active(&self, now: UnixTime) -> Vec<Arc<Drill>> {
        let list = self.list.load();
        list.iter()
            .filter(|drill| !drill.has_ended(now))
            .cloned()
            .collect()
    }

    /// Starts one. Called by the control plane alone, which does one thing after another.
    ///
    /// # Errors
    /// [`Full`].
    pub fn start(&self, wish: Wish, now: UnixTime) -> Result<Arc<Drill>, Full> {
        let mut list = self.active(now);
        if list.len() >= DRILLS_MAX {
            return Err(Full);
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        let drill = Arc::new(Drill::begin(wish, number, now));
        list.push(Arc::clone(&drill));
        self.keep(list);
        Ok(drill)
    }

    /// Ends one, or says that there is none of this name.
    pub fn end(&self, id: &str, now: UnixTime) -> Option<Arc<Drill>> {
        let mut list = self.active(now);
        let at = list.iter().position(|drill| drill.id == id)?;
        let drill = list.remove(at);
        self.keep(list);
        Some(drill)
    }

    /// Takes out those whose time is over, and returns them.
    pub fn take_ended(&self, now: UnixTime) -> Vec<Arc<Drill>> {
        let list = self.list.load();
        let (ended, active): (Vec<_>, Vec<_>) = list.iter().cloned().partition(|drill| drill.has_ended(now));
        if !ended.is_empty() {
            self.keep(active);
        }
        ended
    }

    /// For explain: what may happen to a request on this route, a line for each.
    #[must_use]
    pub fn told(&self, rule: &Rule, path: &str, now: UnixTime) -> Vec<String> {
        let here = self.active(now).into_iter();
        let here = here.filter(|drill| drill.at.has(&rule.name, path));
        here.map(|drill| {
            let share = f64::from(drill.whom.share) / 1_000.0;
            format!(
                "{}: {} for {share} % of those whom it is for",
                drill.id, drill.what
            )
        })
        .collect()
    }

    fn keep(&self, list: Vec<Arc<Drill>>) {
        let any = !list.is_empty();
        self.list.store(Arc::new(list));
        self.any.store(any, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Drills, Full};
    use crate::{
        clock::UnixTime,
        drill::{DRILLS_MAX, FOR_MAX, SHARE_MAX, What, Where, Whom, Wish},
    };

    fn wish(lasts: Duration) -> Wish {
        Wish {
            at: Where::Route("/*".to_owned()),
            what: What::Abort(503),
            whom: Whom {
                share: SHARE_MAX,
                header: None,
                visitor: None,
            },
            lasts,
            who: "mina".to_owned(),
            reason: "game day".to_owned(),
        }
    }

    #[test]
    fn there_are_so_many_at_most_and_each_ends_by_itself() {
        let drills = Drills::default();
        let now = UnixTime::from_secs(1_000);
        for _ in 0..DRILLS_MAX {
            drills.start(wish(Duration::from_secs(60)), now).unwrap();
        }
        assert_eq!(
            drills.start(wish(Duration::from_secs(60)), now).unwrap_err(),
            Full
        );
        assert_eq!(drills.end("d3", now).unwrap().id, "d3");
        assert!(drills.end("d3", now).is_none());
        let last = drills.start(wish(Duration::from_secs(999_999)), now).unwrap();
        assert_eq!(last.ends.secs() - now.secs(), FOR_MAX.as_secs());
        let later = UnixTime::from_secs(1_060);
        assert_eq!(drills.active(later).len(), 1);
        assert_eq!(drills.take_ended(later).len(), DRILLS_MAX - 1);
        assert_eq!(drills.take_ended(later).len(), 0);
        let end = UnixTime::from_secs(1_000 + 3_600);
        assert_eq!((drills.active(end).len(), drills.take_ended(end).len()), (0, 1));
    }
}
