//! Whether a request may pass before anybody asks who sends it: the country it comes from, and the signature of its address.

use std::time::{Duration, UNIX_EPOCH};

use super::{
    Rule, Snapshot,
    decide::{Ask, Trail, judged_host},
};
use crate::{
    clock::UnixTime,
    fields::{Known, Value},
    policy::{
        access::Barred,
        geo::Countries,
        signed::{Address, Asked, Granted, Presented, Trust, Unsigned},
        viewer::Facts,
    },
    route::target,
    visitor,
};

/// Lets a request pass that `rule` took for this (canonical) path, or says why not.
pub(super) fn pass<'s, T: Trail<'s>>(
    ask: &Ask<'_, '_>,
    now: UnixTime,
    (rule, path): (&Rule, &str),
    at: &Snapshot,
    trail: &mut T,
) -> Result<(), Barred> {
    let access = &rule.policy.access;
    if let Some(countries) = &access.countries {
        pass_border(ask, countries, at)?;
    }
    if let Some(trust) = &access.signed {
        check_signature(ask, now, (trust, path), at, trail).map_err(Barred::Unsigned)?;
    }
    Ok(())
}

fn pass_border(ask: &Ask<'_, '_>, countries: &Countries, at: &Snapshot) -> Result<(), Barred> {
    let places = at.places.as_ref().ok_or(Barred::NoDatabase)?;
    let country = ask.client.and_then(|client| places.country(client));
    match country {
        Some(country) if !countries.admit(Some(country)) => Err(Barred::Country(country)),
        _ => Ok(()),
    }
}

fn check_signature<'s, T: Trail<'s>>(
    ask: &Ask<'_, '_>,
    now: UnixTime,
    (trust, path): (&Trust, &str),
    at: &Snapshot,
    trail: &mut T,
) -> Result<(), Unsigned> {
    let (received, query) = target::split_target(ask.target);
    let asked = Asked {
        address: Address {
            host: judged_host(ask, at).unwrap_or_default(),
            path,
            received,
            query,
        },
        client: ask.client,
        now,
    };
    let presented = Presented::find(query, visitor::cookies(ask.headers))?;
    let granted = trust.judge(&presented, &asked)?;
    trail.signed(&granted);
    Ok(())
}

/// A signature that counts, for people.
pub(super) fn words(granted: &Granted<'_>) -> String {
    const LAST: u64 = 253_402_300_799; // the end of the year 9999, the last that a date can say
    let until = UNIX_EPOCH + Duration::from_secs(granted.until.min(LAST));
    format!(
        "by key {} in {}, until {}",
        granted.key,
        granted.by.as_str(),
        httpdate::fmt_http_date(until)
    )
}

/// The fields about the viewer that the backend of `rule` gets, as far as they are known without a connection.
pub(super) fn told(ask: &Ask<'_, '_>, rule: &Rule, at: &Snapshot) -> Vec<(String, String)> {
    let places = at.places.as_ref().zip(ask.client);
    let place = places.and_then(|(places, client)| places.place(client));
    let facts = Facts {
        client: ask.client,
        connection: None,
        user_agent: ask.headers.get(Known::USER_AGENT).map_or(&[], Value::as_bytes),
        place: place.as_ref(),
    };
    let headers = rule.policy.access.viewer.iter();
    headers
        .filter_map(|header| {
            let value = match header.value(&facts) {
                Some(value) => value.into_owned(),
                None if header.needs_database() => return None,
                None => "as the connection has it".to_owned(),
            };
            Some((header.name().to_owned(), value))
        })
        .collect()
}
