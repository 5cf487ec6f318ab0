//! What the cache was to each route since the start, for page and API.

use std::{collections::BTreeMap, sync::Arc};

use crate::observe::metrics::{Family, Totals};

/// Routes that are told of; the rest is in metrics.
pub const ROUTES_MAX: usize = 1_000;

/// What the cache was to the requests of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// What was kept was fresh.
    pub hit: u64,
    /// What was kept was stale, and was served.
    pub stale: u64,
    /// What was kept still counted, as the backend said.
    pub revalidated: u64,
    /// Another had asked for it already.
    pub collapsed: u64,
    /// Nothing was kept.
    pub miss: u64,
    /// It was none that the cache may answer.
    pub bypass: u64,
    /// Bytes of the bodies of all answers.
    pub bytes: u64,
    /// Those of them that no backend had to send again.
    pub bytes_saved: u64,
}

/// By route, out of the cores' numbers since the start.
#[must_use]
pub fn by_route(totals: &Totals) -> BTreeMap<Arc<str>, Used> {
    let mut routes: BTreeMap<Arc<str>, Used> = BTreeMap::new();
    for family in [Family::CacheRequests, Family::CacheSent] {
        for (series, number) in totals.numbers_of(family) {
            let [route, result] = series.labels.as_slice() else {
                continue;
            };
            if routes.len() >= ROUTES_MAX && !routes.contains_key(route) {
                continue;
            }
            let used = routes.entry(Arc::clone(route)).or_default();
            used.add(family, result, u64::try_from(number).unwrap_or_default());
        }
    }
    routes
}

impl Used {
    fn add(&mut self, family: Family, result: &str, number: u64) {
        let (count, saves) = match result {
            "hit" => (&mut self.hit, true),
            "stale" => (&mut self.stale, true),
            "revalidated" => (&mut self.revalidated, true),
            "collapsed" => (&mut self.collapsed, true),
            "miss" => (&mut self.miss, false),
            _ => (&mut self.bypass, false),
        };
        if family == Family::CacheRequests {
            *count += number;
            return;
        }
        self.bytes += number;
        if saves {
            self.bytes_saved += number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Used, by_route};
    use crate::observe::metrics::{Family, Series, Totals};

    #[test]
    fn what_the_cache_was_is_told_by_route() {
        let mut totals = Totals::default();
        let cases = [
            (Family::CacheRequests, "/a", "hit", 3),
            (Family::CacheRequests, "/a", "miss", 1),
            (Family::CacheRequests, "/b", "bypass", 2),
            (Family::CacheSent, "/a", "hit", 300),
            (Family::CacheSent, "/a", "miss", 100),
        ];
        for (family, route, result, number) in cases {
            totals.add(Series::new(family, &[route, result]), number);
        }
        let found: Vec<(String, Used)> = by_route(&totals)
            .into_iter()
            .map(|(route, used)| (route.to_string(), used))
            .collect();
        let a = Used {
            hit: 3,
            miss: 1,
            bytes: 400,
            bytes_saved: 300,
            ..Used::default()
        };
        let b = Used {
            bypass: 2,
            ..Used::default()
        };
        assert_eq!(found, [("/a".to_owned(), a), ("/b".to_owned(), b)]);
    }
}
