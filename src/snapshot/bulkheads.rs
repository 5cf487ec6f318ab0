//! Every bound on what backends and squads may have at once, with what of it is used.

use std::{collections::BTreeMap, sync::Arc};

use super::Snapshot;
pub use crate::shield::pot::Bound;

/// What is bounded: `backend` or `squad`, and its name.
pub type Bounded = (&'static str, Arc<str>);

impl Snapshot {
    /// The bounds that somebody wrote down, by whom they bound.
    #[must_use]
    pub fn bulkheads(&self) -> BTreeMap<Bounded, Vec<Bound>> {
        let backends = self.backends.iter().map(|backend| {
            let name = backend.settings.name.shared();
            (("backend", name), backend.bounds())
        });
        let mut all: BTreeMap<Bounded, Vec<Bound>> = backends.collect();
        // a squad's are the same on each of its routes
        for rule in &self.rules {
            let squad = || ("squad", Arc::clone(&rule.squad));
            if all.contains_key(&squad()) {
                continue;
            }
            let line = rule.line.as_ref().map(|squad| squad.line.bounds(squad.terms));
            let caps = rule.ward.iter().flat_map(|ward| ward.caps.bounds(&ward.stock));
            all.insert(squad(), line.into_iter().flatten().chain(caps).collect());
        }
        let wards = self.backends.iter().filter_map(|backend| backend.squad.as_ref());
        for ward in wards {
            let squad = ("squad", Arc::clone(&ward.squad));
            all.entry(squad)
                .or_insert_with(|| ward.caps.bounds(&ward.stock).collect());
        }
        all.retain(|_, bounds| !bounds.is_empty());
        all
    }
}
