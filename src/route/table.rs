//! The route table: every claim compiled, and the one function that finds the route of a request.
//!
//! Order of trial: routes with an `order`, ascending; then templates, the most specific first; in both, among routes that
//! stand equal, the one that asks for more; then the one written first.

use std::{cmp::Reverse, ops::ControlFlow};

use http::Method;

use super::{
    Claim, Conditions, PathRule,
    clash::{self, Clash},
    condition::{Probe, Weight, Why, first_unmet, holds_before_fields, only_the_method_is_wrong},
    ordered::Ordered,
    pathset::PathSet,
    pattern::Pattern,
    shapes::{Group, Shapes},
    template::Template,
};
use crate::courtesy::give_way;

/// A route: the index of its claim in what the table was built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u32);

impl RouteId {
    /// As an index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// The route that takes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Which one.
    pub route: RouteId,
}

/// A route whose path fits, and why it doesn't take the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedOver<'t> {
    /// Which one.
    pub route: RouteId,
    /// The first condition that doesn't hold.
    pub why: Why<'t>,
}

/// Listens to a search. Live traffic uses `()`, which hears nothing and costs nothing.
pub trait Watch<'t> {
    /// A route was tried and passed over.
    fn passed_over(&mut self, passed: PassedOver<'t>);
}

impl Watch<'_> for () {
    fn passed_over(&mut self, _: PassedOver<'_>) {}
}

impl<'t> Watch<'t> for Vec<PassedOver<'t>> {
    fn passed_over(&mut self, passed: PassedOver<'t>) {
        self.push(passed);
    }
}

/// Most methods that are told to a request whose method no route takes.
pub const OTHER_METHODS_MAX: usize = 32;

/// Listens for routes that only another method would have led to.
struct OtherMethods<'t, 'p> {
    table: &'t Table,
    probe: &'p Probe<'p>,
    methods: Vec<Method>,
}

impl<'t> Watch<'t> for OtherMethods<'t, '_> {
    fn passed_over(&mut self, passed: PassedOver<'t>) {
        let Some(route) = self
            .table
            .route(passed.route)
            .filter(|_| passed.why == Why::Method)
        else {
            return;
        };
        let (hosts, conditions) = route.asks();
        if !only_the_method_is_wrong(hosts, conditions, self.probe) {
            return;
        }
        for method in &conditions.methods {
            if self.methods.len() < OTHER_METHODS_MAX && !self.methods.contains(method) {
                self.methods.push(method.clone());
            }
        }
    }
}

/// All routes, ready to be asked. Shared between threads without a lock.
#[derive(Debug)]
pub struct Table {
    routes: Vec<Route>,
    ordered: Ordered,
    shapes: Shapes,
    /// The routes of each shape, in the order in which they are tried.
    groups: Vec<Vec<RouteId>>,
}

/// One compiled claim.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) hosts: Vec<String>,
    pub(super) conditions: Conditions,
    /// `None` when the path rule is wrong; such a route takes nothing.
    pub(super) rule: Option<Rule>,
    pub(super) order: Option<i32>,
}

/// A path rule that was checked.
#[derive(Debug)]
pub(super) enum Rule {
    Template(Template),
    Pattern(Pattern),
}

impl Rule {
    /// Checks a path rule; the error is a sentence that says how to mend it.
    pub(super) fn parse(path: &PathRule) -> Result<Self, String> {
        match path {
            PathRule::Template(text) => Template::parse(text)
                .map(Self::Template)
                .map_err(|e| e.to_string()),
            PathRule::Pattern(text) => Pattern::parse(text).map(Self::Pattern).map_err(|e| e.to_string()),
        }
    }

    pub(super) fn set(&self) -> PathSet {
        match self {
            Self::Template(template) => template.set(),
            Self::Pattern(pattern) => pattern.set().clone(),
        }
    }
}

impl Route {
    pub(super) fn asks(&self) -> (&[String], &Conditions) {
        (&self.hosts, &self.conditions)
    }

    pub(super) fn weight(&self) -> Weight {
        Weight::of(&self.hosts, &self.conditions)
    }

    fn first_unmet(&self, probe: &Probe<'_>) -> Option<Why<'_>> {
        first_unmet(&self.hosts, &self.conditions, probe)
    }
}

impl Table {
    /// Compiles claims. Clashes are claims that can't stand as they are; the table serves the others all the same:
    /// of two equal claims the first, and no claim whose path is wrong. A pattern without an `order` comes after all that have one.
    #[must_use]
    pub fn build(claims: &[Claim]) -> (Self, Vec<Clash>) {
        let mut clashes = Vec::new();
        let mut routes = Vec::with_capacity(claims.len());
        let mut shapes = Shapes::new();
        let mut groups: Vec<Vec<RouteId>> = Vec::new();
        let mut ordered: Vec<RouteId> = Vec::new();
        for (id, claim) in (0..).map(RouteId).zip(claims) {
            give_way();
            let rule = Rule::parse(&claim.path)
                .map_err(|why| clashes.push(Clash::Wrong { route: id, why }))
                .ok();
            let mut order = claim.order;
            match &rule {
                Some(Rule::Template(template)) if order.is_none() => {
                    push_into_group(&mut groups, shapes.group(template), id);
                }
                Some(Rule::Pattern(_)) if order.is_none() => {
                    clashes.push(Clash::NoOrder { route: id });
                    order = Some(i32::MAX);
                    ordered.push(id);
                }
                Some(_) => ordered.push(id),
                None => {}
            }
            routes.push(Route {
                hosts: claim.hosts.clone(),
                conditions: claim.conditions.clone(),
                rule,
                order,
            });
        }
        shapes.finish();
        let weight = |id: &RouteId| Reverse(routes.get(id.index()).map(Route::weight));
        let order = |id: &RouteId| routes.get(id.index()).and_then(|route| route.order);
        for group in &mut groups {
            group.sort_by_key(|id| (weight(id), *id));
        }
        ordered.sort_by_key(|id| (order(id), weight(id), *id));
        let sets = ordered
            .iter()
            .filter_map(|id| Some((*id, routes.get(id.index())?.rule.as_ref()?.set())));
        let table = Self {
            ordered: Ordered::compile(sets.collect()),
            routes,
            shapes,
            groups,
        };
        clash::too_large(&table, &ordered, &mut clashes);
        clash::equal(&table, &ordered, &mut clashes);
        (table, clashes)
    }

    /// The route that takes the request, if any. Looks at host, method, path, query and header fields.
    #[must_use]
    pub fn find(&self, probe: &Probe<'_>) -> Option<Found> {
        self.find_watched(probe, &mut ())
    }

    /// The same, telling `watch` about every route that was passed over, in the order of trial.
    pub fn find_watched<'t>(&'t self, probe: &Probe<'_>, watch: &mut impl Watch<'t>) -> Option<Found> {
        self.first(probe.path, &mut |route| self.takes(route, probe, watch))
    }

    /// Tells `each` which routes may take a request of which host, method, path and query are known, but not yet its fields and
    /// cookies: in the order of trial, up to the first that takes it whatever they will be.
    pub fn may_take(&self, probe: &Probe<'_>, mut each: impl FnMut(RouteId)) {
        self.first(probe.path, &mut |id| {
            let Some(route) = self.routes.get(id.index()) else {
                return false;
            };
            let holds = holds_before_fields(&route.hosts, &route.conditions, probe);
            if holds != Some(false) {
                each(id);
            }
            holds == Some(true)
        });
    }

    /// The first of the routes of a path that `takes` says yes to.
    #[inline]
    fn first(&self, path: &str, takes: &mut impl FnMut(RouteId) -> bool) -> Option<Found> {
        for rank in self.ordered.ranks(path) {
            let Some(route) = self.ordered.route(rank) else {
                continue;
            };
            if takes(route) {
                return Some(Found { route });
            }
        }
        let first = self.shapes.most_specific(path)?;
        if let Some(found) = self.first_in(first, takes) {
            return Some(found);
        }
        let walked = self.shapes.walk(path, |group| {
            if group == first {
                return ControlFlow::Continue(());
            }
            match self.first_in(group, takes) {
                Some(found) => ControlFlow::Break(found),
                None => ControlFlow::Continue(()),
            }
        });
        walked.break_value()
    }

    /// The methods by which a request that no route takes would have been taken, in the order of trial. Empty when it isn't for its
    /// method. It costs another search: ask it only when there is nothing to find.
    #[must_use]
    pub fn other_methods(&self, probe: &Probe<'_>) -> Vec<Method> {
        let mut others = OtherMethods {
            table: self,
            probe,
            methods: Vec::new(),
        };
        self.find_watched(probe, &mut others);
        others.methods
    }

    /// All routes that can take anything, in the order in which they are tried: of two that take one request, the one that gets
    /// it stands first.
    #[must_use]
    pub fn in_order_of_trial(&self) -> Vec<RouteId> {
        let ordered = (0..).map_while(|rank| self.ordered.route(rank));
        let members = |group| usize::try_from(group).ok().and_then(|at| self.groups.get(at));
        let templates = self.shapes.in_order().into_iter().filter_map(members).flatten();
        ordered.chain(templates.copied()).collect()
    }

    /// What each `{name}` of a route stands for in a canonical path, a last `/*` under the name `*`. Empty for patterns.
    #[must_use]
    pub fn params<'a>(&'a self, route: RouteId, path: &'a str) -> Vec<(&'a str, &'a str)> {
        match self
            .routes
            .get(route.index())
            .and_then(|route| route.rule.as_ref())
        {
            Some(Rule::Template(template)) => template.params(path).unwrap_or_default(),
            Some(Rule::Pattern(_)) | None => Vec::new(),
        }
    }

    fn first_in(&self, group: Group, takes: &mut impl FnMut(RouteId) -> bool) -> Option<Found> {
        let members = self.groups.get(usize::try_from(group).ok()?)?;
        let route = members.iter().copied().find(|id| takes(*id))?;
        Some(Found { route })
    }

    fn takes<'t>(&'t self, id: RouteId, probe: &Probe<'_>, watch: &mut impl Watch<'t>) -> bool {
        let Some(route) = self.routes.get(id.index()) else {
            return false;
        };
        match route.first_unmet(probe) {
            Some(why) => {
                watch.passed_over(PassedOver { route: id, why });
                false
            }
            None => true,
        }
    }

    // what the analysis of clashes needs to see

    pub(super) fn route(&self, id: RouteId) -> Option<&Route> {
        self.routes.get(id.index())
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = RouteId> {
        (0..).map(RouteId).zip(&self.routes).map(|(id, _)| id)
    }

    pub(super) fn groups(&self) -> &[Vec<RouteId>] {
        &self.groups
    }

    pub(super) fn ordered(&self) -> &Ordered {
        &self.ordered
    }
}

fn push_into_group(groups: &mut Vec<Vec<RouteId>>, group: Group, id: RouteId) {
    let at = usize::try_from(group).unwrap_or(usize::MAX);
    match groups.get_mut(at) {
        Some(members) => members.push(id),
        None => groups.push(vec![id]), // groups are numbered in the order in which they appear
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
