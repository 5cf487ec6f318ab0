//! Seats, with a time that stands still.

use std::{
    task::Waker,
    time::{Duration, Instant},
};

use super::{Manner, Seats, Ticket};
use crate::{clock, tunnel::Call};

const WINDOW: Duration = Duration::from_secs(40);

fn seats(manner: Manner, lanes: &[&'static str]) -> (Seats<&'static str>, Vec<Ticket>, Instant) {
    let mut seats = Seats::default();
    let tickets = lanes
        .iter()
        .map(|lane| seats.take(*lane, manner, Waker::noop().clone()))
        .collect();
    (seats, tickets, clock::steady())
}

fn told(seats: &mut Seats<&'static str>, ticket: Ticket) -> Call {
    seats.told(ticket, Waker::noop()).0
}

fn new_is_off(lane: &&'static str) -> Option<Duration> {
    (*lane == "new").then_some(WINDOW)
}

#[test]
fn only_those_of_the_side_that_was_switched_off_are_told() {
    let (mut seats, tickets, now) = seats(Manner::Returning, &["new", "legacy", "new"]);
    let mut parts = [0, 1 << 15].into_iter();
    seats.judge(now, new_is_off, || parts.next().unwrap());
    assert_eq!(seats.next(), Some(now));
    assert_eq!(seats.ring(now).len(), 1);
    assert_eq!(told(&mut seats, tickets[0]), Call::Leave);
    assert_eq!(told(&mut seats, tickets[2]), Call::Stay);
    // half of three quarters of the window
    assert_eq!(seats.next(), Some(now + Duration::from_secs(15)));
    seats.ring(now + Duration::from_secs(15));
    assert_eq!(told(&mut seats, tickets[2]), Call::Leave);
    assert_eq!(seats.next(), Some(now + WINDOW));
    assert_eq!(seats.ring(now + WINDOW).len(), 2);
    assert_eq!(told(&mut seats, tickets[0]), Call::Cut);
    assert_eq!(told(&mut seats, tickets[1]), Call::Stay);
    assert_eq!(seats.next(), None);
}

#[test]
fn what_ends_by_itself_has_the_whole_window() {
    let (mut seats, tickets, now) = seats(Manner::Ending, &["new"]);
    seats.judge(now, new_is_off, || 0);
    assert_eq!(seats.next(), Some(now + WINDOW));
    assert!(seats.ring(now + WINDOW - Duration::from_millis(1)).is_empty());
    seats.ring(now + WINDOW);
    assert_eq!(told(&mut seats, tickets[0]), Call::Cut);
}

#[test]
fn who_was_not_told_yet_stays_when_the_side_is_switched_on_again() {
    let (mut seats, tickets, now) = seats(Manner::Returning, &["new", "new"]);
    let mut parts = [0, u16::MAX].into_iter();
    seats.judge(now, new_is_off, || parts.next().unwrap());
    seats.ring(now);
    seats.judge(now, |_| None, || 0);
    assert_eq!(seats.next(), Some(now + WINDOW), "who was told still has to go");
    seats.ring(now + WINDOW);
    assert_eq!(told(&mut seats, tickets[0]), Call::Cut);
    assert_eq!(told(&mut seats, tickets[1]), Call::Stay);
    // and off once more, with a window of its own
    seats.judge(now + WINDOW, new_is_off, || 0);
    assert_eq!(seats.next(), Some(now + WINDOW));
}

#[test]
fn a_second_swap_does_not_begin_the_window_again() {
    let (mut seats, _, now) = seats(Manner::Ending, &["new"]);
    seats.judge(now, new_is_off, || 0);
    seats.judge(now + Duration::from_secs(10), new_is_off, || 0);
    assert_eq!(seats.next(), Some(now + WINDOW));
}

#[test]
fn a_seat_that_was_left_rings_for_nobody() {
    let (mut seats, tickets, now) = seats(Manner::Returning, &["new"]);
    seats.judge(now, new_is_off, || 0);
    assert!(seats.give_back(tickets[0]).is_some());
    assert!(seats.give_back(tickets[0]).is_none());
    let next = seats.take("legacy", Manner::Returning, Waker::noop().clone());
    assert_eq!(next, tickets[0], "the seat is taken again");
    assert!(seats.ring(now + WINDOW).is_empty());
    assert_eq!(told(&mut seats, next), Call::Stay);
}

#[test]
fn switching_off_and_on_leaves_no_bells_behind() {
    let (mut seats, _, now) = seats(Manner::Returning, &["new"; 8]);
    for _ in 0..100 {
        seats.judge(now, new_is_off, || u16::MAX);
        assert!(seats.bells.len() <= 2 * 8);
        seats.judge(now, |_| None, || 0);
        assert_eq!(seats.bells.len(), 0);
    }
}
