//! Shares that change with time: what they are at a moment follows from that moment alone.

use super::{FlagProblemKind, rollout::Ranges};
use crate::{clock::UnixTime, name::VariantName};

/// Points of one schedule: one a day for three months.
pub const POINTS_MAX: usize = 100;

/// A `[[rollout.schedule]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulePoint {
    /// From when on.
    pub at: UnixTime,
    /// Shares in thousandths of a percent (0 to 100,000). A variant that is not named keeps the share that it had.
    pub shares: Vec<(VariantName, u32)>,
}

/// What is between two points of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// The earlier one's shares.
    #[default]
    Steps,
    /// Shares on the straight line from one to the other.
    Linear,
}

/// A schedule, ready to be asked.
#[derive(Debug)]
pub(super) struct Schedule {
    shape: Shape,
    points: Vec<Point>,
}

#[derive(Debug)]
struct Point {
    at_ms: u64,
    /// By range.
    shares: Vec<u32>,
}

impl Schedule {
    /// `None`: there are no points. `shares` are those before the first.
    pub(super) fn compile(
        shape: Shape,
        written: &[SchedulePoint],
        ranges: &Ranges,
        shares: &[u32],
    ) -> Result<Option<Self>, FlagProblemKind> {
        if written.len() > POINTS_MAX {
            return Err(FlagProblemKind::SchedulePoints(written.len()));
        }
        let mut points: Vec<Point> = Vec::with_capacity(written.len());
        for (number, point) in written.iter().enumerate() {
            let before = points.last();
            if before.is_some_and(|before| before.at_ms >= point.at.millis) {
                return Err(FlagProblemKind::ScheduleOrder { point: number + 1 });
            }
            let kept = before.map_or(shares, |before| &before.shares);
            let shares = ranges.fill(&point.shares, kept)?;
            points.push(Point {
                at_ms: point.at.millis,
                shares,
            });
        }
        Ok((!points.is_empty()).then_some(Self { shape, points }))
    }

    /// The share of a range, by its place among them. `None`: the first point is still to come.
    pub(super) fn share(&self, range: usize, now: UnixTime) -> Option<u32> {
        let passed = self.points.partition_point(|point| point.at_ms <= now.millis);
        let from = self.points.get(passed.checked_sub(1)?)?;
        let share = *from.shares.get(range)?;
        let next = self.points.get(passed).filter(|_| self.shape == Shape::Linear);
        let Some((to, goal)) = next.and_then(|to| Some((to, *to.shares.get(range)?))) else {
            return Some(share);
        };
        let (gone, whole) = (now.millis - from.at_ms, to.at_ms - from.at_ms);
        let part = |of: u32| {
            let done = u128::from(of) * u128::from(gone) / u128::from(whole.max(1));
            u32::try_from(done).unwrap_or(of)
        };
        Some(if goal >= share {
            share + part(goal - share)
        } else {
            share - part(share - goal)
        })
    }
}
