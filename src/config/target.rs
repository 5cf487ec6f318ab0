//! Where a route leads, as it is written and what that means.

use std::{collections::BTreeMap, ops::Range};

use super::{report::Report, settings::TargetSettings, values::Spot};
use crate::name::{BackendName, FlagKey, VariantName};

/// Where a route leads, with the places of its backends and variants.
pub(super) struct Target {
    pub(super) settings: TargetSettings,
    pub(super) backends: Vec<Range<usize>>,
    pub(super) variants: Vec<Range<usize>>,
}

/// One backend for everybody.
pub(super) fn always(backend: &Spot<String>, report: &mut Report) -> Option<Target> {
    Some(Target {
        settings: TargetSettings::Backend(backend_name(backend, report)?),
        backends: vec![backend.span.clone()],
        variants: Vec::new(),
    })
}

/// A backend for each variant.
pub(super) fn by_flag(
    flag: &Spot<String>,
    backends: &BTreeMap<Spot<String>, Spot<String>>,
    report: &mut Report,
) -> Option<Target> {
    let key = flag_key(flag, report);
    let mut list = Vec::with_capacity(backends.len());
    for (variant, backend) in backends {
        let name = VariantName::new(&variant.value);
        if let Err(reason) = &name {
            let what = format!("`{}` can't name a variant: {reason}", variant.value);
            report.error("bad-name", variant.span.clone(), what);
        }
        let backend = backend_name(backend, report);
        list.push(name.ok().zip(backend));
    }
    Some(Target {
        settings: TargetSettings::Flag {
            flag: key?,
            backends: list.into_iter().collect::<Option<_>>()?,
        },
        backends: backends.values().map(|backend| backend.span.clone()).collect(),
        variants: backends.keys().map(|variant| variant.span.clone()).collect(),
    })
}

/// The key of a flag, if it can be one.
pub(super) fn flag_key(key: &Spot<String>, report: &mut Report) -> Option<FlagKey> {
    let checked = FlagKey::new(&key.value);
    if let Err(reason) = &checked {
        report.error(
            "bad-name",
            key.span.clone(),
            format!("`{}` can't be the key of a flag: {reason}", key.value),
        );
    }
    checked.ok()
}

/// A backend's name, if it can be one.
pub(super) fn backend_name(name: &Spot<String>, report: &mut Report) -> Option<BackendName> {
    let checked = BackendName::new(&name.value);
    if let Err(reason) = &checked {
        report.error(
            "bad-name",
            name.span.clone(),
            format!("`{}` can't name a backend: {reason}", name.value),
        );
    }
    checked.ok()
}
