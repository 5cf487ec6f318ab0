//! All routes with an `order` in one automaton: one pass over a path tells every one of them that takes it.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicU64, Ordering},
};

use regex_automata::{
    Anchored, Input, MatchKind,
    hybrid::dfa::{Cache, Config, DFA},
    nfa::thompson,
    util::syntax,
};
use smallvec::SmallVec;

use super::{pathset::PathSet, table::RouteId};

/// Bytes of automaton states that a thread keeps at least, before it forgets them all and starts again.
const STATES_BYTES: usize = 4 * 1024 * 1024;

/// Further bytes for each route: a state near the root of many patterns names them all.
const STATES_BYTES_PER_ROUTE: usize = 2 * 1024;

/// Bytes that the automaton may take before all routes are tried one by one instead.
const AUTOMATON_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Most steps of all patterns together that stand behind a wildcard. Any of them may be alive at any byte of a path, so this bounds a
/// state's size and the work for a byte that leads to a new one; twice what 5,000 patterns such as `/squad-7/*/page-?.html` have.
pub(super) const FLOATING_MAX: usize = 200_000;

/// Routes that take a path, as ranks: the lowest is tried first.
pub(super) type Ranks = SmallVec<[u32; 8]>;

/// The ordered routes of a table.
#[derive(Debug)]
pub(super) struct Ordered {
    /// Tells the automata of two tables apart in a thread's memory.
    id: u64,
    /// By rank.
    routes: Vec<(RouteId, PathSet)>,
    automaton: Option<DFA>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The states that this thread has worked out so far, of the last table it used: no lock, and an old table's are dropped.
    static STATES: RefCell<Option<(u64, Cache)>> = const { RefCell::new(None) };
}

impl Ordered {
    /// Compiles routes given in the order in which they are tried.
    pub(super) fn compile(routes: Vec<(RouteId, PathSet)>) -> Self {
        let automaton = if routes.is_empty() || floating(&routes) > FLOATING_MAX {
            None
        } else {
            let texts: Vec<String> = routes.iter().map(|(_, set)| set.regex()).collect();
            automaton(&texts)
        };
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            routes,
            automaton,
        }
    }

    /// How many steps stand behind a wildcard, in all routes together.
    pub(super) fn floating(&self) -> usize {
        floating(&self.routes)
    }

    /// Bytes that the automaton takes beside the states that are worked out as paths come; none when there is none.
    #[cfg(test)]
    pub(super) fn automaton_bytes(&self) -> Option<usize> {
        self.automaton
            .as_ref()
            .map(|automaton| automaton.get_nfa().memory_usage())
    }

    /// The route of a rank.
    pub(super) fn route(&self, rank: u32) -> Option<RouteId> {
        self.routes.get(usize::try_from(rank).ok()?).map(|(id, _)| *id)
    }

    /// The ranks of all routes that take `path`, ascending.
    pub(super) fn ranks(&self, path: &str) -> Ranks {
        if self.routes.is_empty() {
            return Ranks::new();
        }
        self.ranks_by_automaton(path)
            .unwrap_or_else(|| self.ranks_one_by_one(path))
    }

    fn ranks_by_automaton(&self, path: &str) -> Option<Ranks> {
        let automaton = self.automaton.as_ref()?;
        STATES.with_borrow_mut(|kept| {
            let (_, states) = match kept {
                Some(of_this) if of_this.0 == self.id => of_this,
                other => other.insert((self.id, automaton.create_cache())),
            };
            run(automaton, states, path)
        })
    }

    fn ranks_one_by_one(&self, path: &str) -> Ranks {
        (0..)
            .zip(&self.routes)
            .filter(|(_, (_, set))| set.takes(path))
            .map(|(rank, _)| rank)
            .collect()
    }
}

fn floating(routes: &[(RouteId, PathSet)]) -> usize {
    routes.iter().map(|(_, set)| set.floating()).sum()
}

fn automaton(texts: &[String]) -> Option<DFA> {
    let bytes = STATES_BYTES + texts.len() * STATES_BYTES_PER_ROUTE;
    DFA::builder()
        .configure(
            Config::new()
                .match_kind(MatchKind::All)
                .cache_capacity(bytes)
                .skip_cache_capacity_check(true),
        )
        .syntax(
            syntax::Config::new()
                .unicode(false)
                .utf8(false)
                .dot_matches_new_line(true),
        )
        .thompson(
            thompson::Config::new()
                .utf8(false)
                .nfa_size_limit(Some(AUTOMATON_BYTES_MAX)),
        )
        .build_many(texts)
        .ok()
}

/// Every expression ends in `\z`, so only the state after the last byte can name routes.
/// `None` when the automaton gives up, which it isn't configured to do.
fn run(automaton: &DFA, states: &mut Cache, path: &str) -> Option<Ranks> {
    let input = Input::new(path).anchored(Anchored::Yes);
    let mut state = automaton.start_state_forward(states, &input).ok()?;
    for byte in path.bytes() {
        state = automaton.next_state(states, state, byte).ok()?;
        if state.is_dead() {
            return Some(Ranks::new());
        }
    }
    state = automaton.next_eoi_state(states, state).ok()?;
    let mut ranks = Ranks::new();
    if state.is_match() {
        let count = automaton.match_len(states, state);
        ranks.extend((0..count).map(|at| automaton.match_pattern(states, state, at).as_u32()));
        ranks.sort_unstable();
    }
    Some(ranks)
}
