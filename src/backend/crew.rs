//! One core's view of a backend's servers: their pools side by side, and whose turn it is.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Backend,
    pick::{self, Field, Fit, Pick, Turns, mixed},
    pool::{Pool, Pools},
    ring,
    roster::Roster,
    table::Table,
};

/// A core's crews, by the place of their backend in the snapshot.
#[derive(Debug, Default)]
pub struct Crews {
    by_place: RefCell<Vec<Option<Rc<Crew>>>>,
}

impl Crews {
    /// The crew of `backend`, which stands at `place`. `random` spreads where cores begin.
    #[must_use]
    pub fn of(&self, place: u32, backend: &Backend, pools: &Pools, random: impl FnOnce() -> u64) -> Rc<Crew> {
        let place = place as usize;
        if let Some(Some(crew)) = self.by_place.borrow().get(place)
            && crew.roster.version == backend.version()
        {
            return Rc::clone(crew);
        }
        self.muster(place, backend, pools, random())
    }

    #[cold]
    fn muster(&self, place: usize, backend: &Backend, pools: &Pools, random: u64) -> Rc<Crew> {
        let crew = Rc::new(Crew::of(backend, pools, random));
        let mut crews = self.by_place.borrow_mut();
        let room = crews.len().max(place + 1);
        crews.resize(room, None);
        if let Some(kept) = crews.get_mut(place) {
            *kept = Some(Rc::clone(&crew));
        }
        crew
    }

    /// Tells the servers' vitals what this core saw. To be called each second.
    pub fn tell(&self, now: Instant) {
        for crew in self.by_place.borrow().iter().flatten() {
            for pool in &crew.pools {
                pool.tell(now);
            }
        }
    }

    /// Forgets all of them: servers have left, and their pools are to go.
    pub fn disband(&self) {
        self.by_place.borrow_mut().clear();
    }
}

/// A backend's servers on one core.
#[derive(Debug)]
pub struct Crew {
    /// Which servers.
    pub roster: Arc<Roster>,
    pools: Vec<Rc<Pool>>,
    turns: Turns,
    slow_start: Duration,
    panic_below: f64,
    pick: Pick,
}

/// Shares of a zone that is well, in percent: below it the rest of its traffic goes to other zones.
pub const ZONE_IS_WELL: f64 = 70.0;

/// What one exchange brings to the choice.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'c> {
    /// Places that it tried.
    pub tried: &'c [usize],
    /// What it is hashed by, if it has that.
    pub key: Option<u64>,
    /// When.
    pub now: Instant,
    /// Any 64 random bits.
    pub random: u64,
}

struct Looking<'c> {
    crew: &'c Crew,
    tried: &'c [usize],
    /// Servers to whose single probe another core came first.
    lost: &'c [usize],
    now: Instant,
}

impl Field for Looking<'_> {
    fn is_well(&self, at: usize) -> bool {
        self.crew.pools.get(at).is_some_and(|pool| pool.usable(self.now)) && !self.lost.contains(&at)
    }

    fn is_tried(&self, at: usize) -> bool {
        self.tried.contains(&at)
    }

    fn cost(&self, at: usize) -> f64 {
        let (Some(pool), Some(seat)) = (self.crew.pools.get(at), self.crew.roster.seats.get(at)) else {
            return f64::MAX;
        };
        pool.gauge.cost(pool.in_flight(), seat.weight, self.now)
    }

    fn ramp(&self, at: usize) -> f64 {
        if self.crew.slow_start.is_zero() {
            return 1.0;
        }
        let pool = self.crew.pools.get(at);
        pool.map_or(1.0, |pool| {
            pool.server.vitals.ramp(self.now, self.crew.slow_start)
        })
    }
}

impl Crew {
    fn of(backend: &Backend, pools: &Pools, random: u64) -> Self {
        let roster = backend.roster();
        let settings = &backend.settings;
        Self {
            pools: roster.servers.iter().map(|server| pools.of(server)).collect(),
            turns: Turns::new(roster.servers.len(), random),
            slow_start: settings.slow_start.unwrap_or_default(),
            panic_below: settings.panic_below,
            pick: settings.pick.clone(),
            roster,
        }
    }

    /// How many servers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pools.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// Whether a server is fit to be asked.
    #[must_use]
    pub fn is_well(&self, now: Instant) -> bool {
        self.pools.iter().any(|pool| pool.usable(now))
    }

    /// Who takes the exchange, and its place. `None` when there is no server at all.
    #[must_use]
    pub fn choose(&self, choice: Choice<'_>) -> Option<(usize, &Rc<Pool>)> {
        let mut lost: smallvec::SmallVec<[usize; 4]> = smallvec::SmallVec::new();
        loop {
            let field = Looking {
                crew: self,
                tried: choice.tried,
                lost: &lost,
                now: choice.now,
            };
            let at = self.pick(&field, &choice)?;
            let pool = self.pools.get(at)?;
            // who is chosen although he is not well is asked without being anybody's probe
            if !field.is_well(at) || pool.server.vitals.breaker.claim(choice.now) {
                pool.gauge.picked();
                return Some((at, pool));
            }
            lost.push(at);
        }
    }

    /// Who takes an exchange that may be called back: somebody who is well beyond doubt and was not tried. `None`: there is nobody.
    #[must_use]
    pub fn choose_well(&self, choice: Choice<'_>) -> Option<(usize, &Rc<Pool>)> {
        let doubtful =
            |pool: &Pool| !pool.usable(choice.now) || !pool.server.vitals.breaker.get().is_closed();
        let out =
            |(at, pool): (usize, &Rc<Pool>)| (choice.tried.contains(&at) || doubtful(pool)).then_some(at);
        let out: smallvec::SmallVec<[usize; 8]> = self.pools.iter().enumerate().filter_map(out).collect();
        if out.len() >= self.pools.len() {
            return None;
        }
        let field = Looking {
            crew: self,
            tried: &out,
            lost: &[],
            now: choice.now,
        };
        let at = pick::least_loaded(&self.roster.all, &field, self.panic_below, choice.random)?;
        let pool = self.pools.get(at).filter(|_| !out.contains(&at))?;
        Some((at, pool))
    }

    fn pick(&self, field: &Looking<'_>, choice: &Choice<'_>) -> Option<usize> {
        let least_loaded = |table: &Table| pick::least_loaded(table, field, self.panic_below, choice.random);
        match (&self.pick, choice.key) {
            (Pick::LeastLoaded, _) | (Pick::Hash(_), None) => least_loaded(self.side(field, choice)),
            (Pick::RoundRobin, _) => {
                pick::in_turn(self.side(field, choice), &self.turns, field, self.panic_below)
            }
            (Pick::Hash(_), Some(key)) => self.by_key(key, field),
        }
    }

    fn by_key(&self, key: u64, field: &Looking<'_>) -> Option<usize> {
        let under_way: u32 = self.pools.iter().map(|pool| pool.in_flight()).sum();
        let room = |at: usize| {
            let (Some(pool), Some(seat)) = (self.pools.get(at), self.roster.seats.get(at)) else {
                return false;
            };
            ring::has_room(pool.in_flight(), under_way, seat.weight, self.roster.all.weight())
        };
        let any_well = self.is_well(field.now);
        let fit = match any_well {
            true if field.tried.is_empty() && self.panic_below <= 0.0 => Fit::Well,
            _ => pick::fitness(&self.roster.all, field, self.panic_below),
        };
        self.roster.ring.find(key, field, fit, room)
    }

    /// The router's own zone while it is well enough; else as much of the traffic as its well part can bear.
    fn side(&self, field: &Looking<'_>, choice: &Choice<'_>) -> &Table {
        let Some(near) = &self.roster.near else {
            return &self.roster.all;
        };
        let share = |table: &Table| {
            let fit = |at: &(usize, u32)| field.is_well(at.0) && !field.is_tried(at.0);
            let well: u32 = table.iter().filter(fit).map(|(_, weight)| weight).sum();
            100.0 * f64::from(well) / f64::from(table.weight().max(1))
        };
        let well = share(near);
        if well >= ZONE_IS_WELL {
            return near;
        }
        let chance = (mixed(choice.random ^ 0x5a5a) >> 40) as f64 / (1_u64 << 24) as f64;
        if chance * ZONE_IS_WELL < well {
            return near;
        }
        if share(&self.roster.far) > 0.0 {
            return &self.roster.far;
        }
        if well > 0.0 { near } else { &self.roster.all }
    }
}
