//! Servers with their weights, so that chance can name two of them by weight in one step.

use super::pick::place;

/// Some of a backend's servers, by their places in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Place, weight, and the sum of weights up to and with it.
    rows: Vec<(usize, u32, u32)>,
    is_even: bool,
}

impl Table {
    /// Of places and weights; those without weight are left out unless none has any.
    #[must_use]
    pub fn of(weights: impl Iterator<Item = (usize, u32)> + Clone) -> Self {
        let none = weights.clone().all(|(_, weight)| weight == 0);
        let mut sum = 0_u32;
        let rows: Vec<_> = weights
            .map(|(at, weight)| (at, if none { 1 } else { weight }))
            .filter(|(_, weight)| *weight > 0)
            .map(|(at, weight)| {
                sum = sum.saturating_add(weight);
                (at, weight, sum)
            })
            .collect();
        let first = rows.first().map(|row| row.1);
        let is_even = rows.iter().all(|row| Some(row.1) == first);
        Self { rows, is_even }
    }

    /// Places with weights.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.rows.iter().map(|(at, weight, _)| (*at, *weight))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All weights together.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.rows.last().map_or(0, |row| row.2)
    }

    /// Two different ones that `takes` takes, each by its weight, or the only one.
    pub(super) fn two(
        &self,
        one: u32,
        other: u32,
        takes: impl Fn(usize) -> bool,
    ) -> Option<(usize, Option<usize>)> {
        if self.is_even && self.rows.iter().all(|row| takes(row.0)) {
            let count = self.rows.len();
            let first = place(one, count);
            let second = place(other, count.saturating_sub(1));
            let second = if second >= first { second + 1 } else { second };
            let at = |row: usize| self.rows.get(row).map(|row| row.0);
            return Some((at(first)?, at(second)));
        }
        let sum: u32 = self.taken(&takes).map(|(_, weight)| weight).sum();
        let first = self.locate(place(one, sum as usize), &takes, None)?;
        let own = self
            .taken(&takes)
            .find(|(at, _)| *at == first)
            .map_or(0, |(_, weight)| weight);
        let rest = sum.saturating_sub(own);
        let second = self.locate(place(other, rest as usize), &takes, Some(first));
        Some((first, second))
    }

    fn taken(&self, takes: &impl Fn(usize) -> bool) -> impl Iterator<Item = (usize, u32)> {
        self.iter().filter(move |(at, _)| takes(*at))
    }

    /// Who sits on the so-manieth seat of those that are taken.
    fn locate(&self, seat: usize, takes: &impl Fn(usize) -> bool, not: Option<usize>) -> Option<usize> {
        let mut left = seat;
        for (at, weight) in self.taken(takes).filter(|(at, _)| Some(*at) != not) {
            let weight = weight as usize;
            if left < weight {
                return Some(at);
            }
            left -= weight;
        }
        None
    }
}
