//! The trail of one decision: what each of its steps tells, noted down for [`explain`](super::explain).

use super::{access, decide::Trail};
use crate::{
    flag::{self, Choice, FlagId, Outcome, RolloutBy},
    gate::{Demand, Identity},
    name::{FlagKey, LayerName, VariantName},
    policy::signed::Granted,
    route::{self, PassedOver, RouteId},
    visitor::SeenState,
};

/// What a decision tells on its way.
#[derive(Default)]
pub(super) struct Notes<'s> {
    pub(super) path: Option<String>,
    pub(super) passed: Vec<PassedOver<'s>>,
    pub(super) route: Option<RouteId>,
    pub(super) signed: Option<String>,
    pub(super) demands: Vec<&'s Demand>,
    pub(super) user: Option<String>,
    pub(super) flags: Vec<Asked>,
}

/// What a flag was asked and said.
pub(super) struct Asked {
    pub(super) flag: FlagId,
    pub(super) rules: Vec<(usize, String)>,
    /// Flags that it requires: their variants, and whether they will do.
    pub(super) required: Vec<(FlagKey, Option<VariantName>, bool)>,
    /// The place in its layer, and whether that is its own.
    pub(super) layer: Option<(LayerName, Option<u32>, bool)>,
    pub(super) place: Option<u32>,
    pub(super) choice: Option<Choice>,
}

impl<'s> route::Watch<'s> for Notes<'s> {
    fn passed_over(&mut self, passed: PassedOver<'s>) {
        self.passed.push(passed);
    }
}

impl flag::Watch for Notes<'_> {
    fn rule(&mut self, rule: usize, outcome: Outcome<'_>) {
        if let Some(asked) = self.flags.last_mut() {
            asked.rules.push((rule, outcome.to_string()));
        }
    }

    fn required(&mut self, flag: &FlagKey, variant: Option<&VariantName>, met: bool) {
        if let Some(asked) = self.flags.last_mut() {
            asked.required.push((flag.clone(), variant.cloned(), met));
        }
    }

    fn layer(&mut self, layer: &LayerName, place: Option<u32>, takes: bool) {
        if let Some(asked) = self.flags.last_mut() {
            asked.layer = Some((layer.clone(), place, takes));
        }
    }

    fn rollout(&mut self, _by: RolloutBy, place: Option<u32>) {
        if let Some(asked) = self.flags.last_mut() {
            asked.place = place;
        }
    }
}

impl<'s> Trail<'s> for Notes<'s> {
    fn normalised(&mut self, path: &str) {
        self.path = Some(path.to_owned());
    }

    fn took(&mut self, route: RouteId) {
        self.route = Some(route);
    }

    fn signed(&mut self, granted: &Granted<'_>) {
        self.signed = Some(access::words(granted));
    }

    fn demanded(&mut self, demand: &'s Demand) {
        self.demands.push(demand);
    }

    fn passed_gate(&mut self, identity: Option<&Identity>) {
        self.user = identity.map(|identity| identity.subject.clone());
    }

    fn saw(&mut self, _state: SeenState, _minted: bool) {}

    fn asks(&mut self, flag: FlagId) {
        self.flags.push(Asked {
            flag,
            rules: Vec::new(),
            required: Vec::new(),
            layer: None,
            place: None,
            choice: None,
        });
    }

    fn chose(&mut self, _flag: FlagId, choice: &Choice) {
        if let Some(asked) = self.flags.last_mut() {
            asked.choice = Some(*choice);
        }
    }
}
