//! flagd's own JsonLogic operators. Each gives null, not false, for arguments it can't use: the rule then says nothing
//! and the default follows.

use datalogic_rs::{
    ArenaExt, CustomOperator, DataValue, EngineBuilder, Result,
    bumpalo::{Bump, collections::String, collections::Vec},
    operator::EvalContext,
};

use super::{
    Bucketing,
    bucket::{Salt, hash_value, scale},
    sem_ver::Version,
};

/// Names of the operators that [`add_all`] adds.
pub(super) const NAMES: [&str; 4] = ["fractional", "starts_with", "ends_with", "sem_ver"];

/// Adds them to an engine.
pub(super) fn add_all(builder: EngineBuilder, bucketing: Bucketing) -> EngineBuilder {
    let [fractional, starts_with, ends_with, sem_ver] = NAMES;
    builder
        .add_operator(fractional, Fractional(bucketing))
        .add_operator(starts_with, Affix(|text, affix| text.starts_with(affix)))
        .add_operator(ends_with, Affix(|text, affix| text.ends_with(affix)))
        .add_operator(sem_ver, SemVer)
}

/// `{"fractional": [bucket-by?, [variant, weight?], …]}`.
struct Fractional(Bucketing);

impl CustomOperator for Fractional {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        context: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        Ok(self
            .choose(args, context.root_input(), arena)
            .unwrap_or_else(|| arena.null()))
    }
}

impl Fractional {
    fn choose<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        root: &'a DataValue<'a>,
        arena: &'a Bump,
    ) -> Option<&'a DataValue<'a>> {
        let (first, others) = args.split_first()?;
        let (hash, weighted) = match (self.0, first) {
            (_, DataValue::Array(_)) => (self.implicit(root)?, args),
            // A property that is missing: flagd falls back to the targeting key before it hashed CBOR, and refuses since.
            (Bucketing::Murmur3V2, DataValue::Null) => (self.implicit(root)?, others),
            (_, value) => (hash_value(self.0, value, arena)?, others),
        };
        let mut shares = Vec::with_capacity_in(weighted.len(), arena);
        for share in weighted {
            shares.push(parse_share(share)?);
        }
        let total: i64 = shares.iter().map(|(_, weight)| i64::from(*weight)).sum();
        let total = u32::try_from(i32::try_from(total).ok()?).ok()?;
        let place = scale(hash, total);
        let mut end = 0;
        shares.iter().find_map(|(variant, weight)| {
            end += weight;
            (place < end).then_some(*variant)
        })
    }

    fn implicit(&self, root: &DataValue<'_>) -> Option<u32> {
        let id = root.get("targetingKey")?.as_str().filter(|id| !id.is_empty())?;
        let flag_key = root.get("$flagd")?.get("flagKey")?.as_str()?;
        Some(Salt::new(self.0, flag_key).hash(id))
    }
}

fn parse_share<'a>(share: &'a DataValue<'a>) -> Option<(&'a DataValue<'a>, u32)> {
    let (variant, weight) = match share.as_array()? {
        [variant] => (variant, 1),
        // A negative weight comes out of a ramp that hasn't begun, so it counts as none.
        [variant, weight] => (variant, weight.as_number()?.as_i64()?.max(0)),
        _ => return None,
    };
    let scalar = !variant.is_array() && !variant.is_object();
    // The sum may be 2^31 - 1 at most, so may each.
    let weight = u32::try_from(i32::try_from(weight).ok()?).ok()?;
    scalar.then_some((variant, weight))
}

/// `{"starts_with": [text, affix]}` and `{"ends_with": [text, affix]}`.
struct Affix(fn(&str, &str) -> bool);

impl CustomOperator for Affix {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        Ok(match args {
            [DataValue::String(text), DataValue::String(affix)] => arena.bool((self.0)(text, affix)),
            _ => arena.null(),
        })
    }
}

/// `{"sem_ver": [version, operator, version]}`.
struct SemVer;

impl CustomOperator for SemVer {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        let result = match args {
            [a, operator, b] => compare_versions(a, operator, b, arena),
            _ => None,
        };
        Ok(result.map_or_else(|| arena.null(), |held| arena.bool(held)))
    }
}

fn compare_versions(
    a: &DataValue<'_>,
    operator: &DataValue<'_>,
    b: &DataValue<'_>,
    arena: &Bump,
) -> Option<bool> {
    let (a, b) = (version_text(a, arena)?, version_text(b, arena)?);
    Version::parse(a)?.compare(operator.as_str()?, &Version::parse(b)?)
}

fn version_text<'t>(value: &DataValue<'t>, arena: &'t Bump) -> Option<&'t str> {
    use std::fmt::Write as _;

    if let Some(text) = value.as_str() {
        return Some(text);
    }
    let number = value.as_number()?;
    let mut text = String::new_in(arena);
    match number.as_i64() {
        Some(whole) => write!(text, "{whole}"),
        None => write!(text, "{}", number.as_f64()),
    }
    .ok()?;
    Some(text.into_bump_str())
}
