//! JsonLogic rules: compiled at load, evaluated in memory that each thread keeps.

use std::{
    cell::RefCell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::LazyLock,
};

use datalogic_rs::{DataValue, Engine, EvaluationConfig, Logic, bumpalo::Bump};
use serde_json::Value;

use super::{
    Bucketing, operators,
    subject::{self, Needs, Subject},
};

/// Memory that a thread keeps between two evaluations. One that took more gives it back.
const ARENA_BYTES_KEPT_MAX: usize = 256 * 1024;
/// Memory that one decision may take; contexts are a few KiB. A rule that doubles a text in a loop ends here: the arena
/// panics, and that fails the rule.
const ARENA_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Objects and lists inside one another in a rule. Rules are compiled and evaluated by recursion, on small stacks.
const RULE_DEPTH_MAX: usize = 100;

// An engine only reads itself while it evaluates, so all cores share one without a lock.
static V2: LazyLock<Engine> = LazyLock::new(|| engine(Bucketing::Murmur3V2));
static V3: LazyLock<Engine> = LazyLock::new(|| engine(Bucketing::Murmur3CborV3));

thread_local! {
    static ARENA: RefCell<Bump> = RefCell::new(bounded());
}

/// A compiled rule.
pub(super) struct Rule {
    logic: Logic,
    engine: &'static Engine,
    needs: Needs,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}

/// Why a rule gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It asked for something that can't be computed.
    Engine(datalogic_rs::Error),
    /// It took too much memory, or the engine has a bug.
    Panic,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Panic => write!(
                f,
                "the rule engine panicked, or needed more than {ARENA_BYTES_MAX} bytes"
            ),
        }
    }
}

impl Rule {
    /// Compiles `rule`.
    ///
    /// # Errors
    /// A clause that says what is wrong with it.
    pub(super) fn compile(rule: &Value, bucketing: Bucketing) -> Result<Self, String> {
        let engine: &'static Engine = match bucketing {
            Bucketing::Murmur3V2 => &V2,
            Bucketing::Murmur3CborV3 => &V3,
        };
        check_operators(rule, engine, RULE_DEPTH_MAX)?;
        let text = rule.to_string();
        let needs = Needs::of(&text);
        // The optimiser runs parts of the rule at once, so it is as little trusted as an evaluation.
        let compiled = catch_unwind(AssertUnwindSafe(|| engine.compile(text.as_str())))
            .map_err(|_| Failure::Panic.to_string())?;
        let logic = compiled.map_err(|error| error.to_string())?;
        Ok(Self { logic, engine, needs })
    }

    pub(super) fn needs(&self) -> Needs {
        self.needs
    }

    /// Whether the rule's answer counts as true.
    pub(super) fn holds(&self, at: &Evaluation<'_>) -> Result<bool, Failure> {
        self.evaluate(at).map(|value| self.engine.truthy(value))
    }

    /// The rule's answer.
    pub(super) fn evaluate<'a>(&'a self, at: &Evaluation<'a>) -> Result<&'a DataValue<'a>, Failure> {
        catch_unwind(AssertUnwindSafe(|| {
            self.engine.evaluate(&self.logic, at.context, at.arena)
        }))
        .map_err(|_| Failure::Panic)?
        .map_err(Failure::Engine)
    }
}

/// What rules of one decision are evaluated with.
pub(super) struct Evaluation<'a> {
    context: &'a DataValue<'a>,
    arena: &'a Bump,
}

/// Builds the context of one decision and hands it to `judge`; afterwards its memory is free for the next.
pub(super) fn with_context<R>(
    subject: &Subject<'_>,
    flag_key: &str,
    targeting_key: Option<&str>,
    needs: Needs,
    judge: impl for<'a> FnOnce(&Evaluation<'a>) -> R,
) -> R {
    let run = |arena: &Bump| {
        let context = subject::context(subject, flag_key, targeting_key, needs, arena);
        judge(&Evaluation {
            context: arena.alloc(context),
            arena,
        })
    };
    ARENA.with(|arena| match arena.try_borrow_mut() {
        Ok(mut arena) => {
            let result = run(&arena);
            if arena.allocated_bytes() > ARENA_BYTES_KEPT_MAX {
                *arena = bounded();
            } else {
                arena.reset();
            }
            result
        }
        // Only a watch that decides another flag gets here.
        Err(_) => run(&bounded()),
    })
}

fn bounded() -> Bump {
    let arena = Bump::new();
    arena.set_allocation_limit(Some(ARENA_BYTES_MAX));
    arena
}

/// As reference implementations do, unlike things compare as unequal; the engine's own default is an error.
fn engine(bucketing: Bucketing) -> Engine {
    let config = EvaluationConfig::default().with_loose_equality_errors(false);
    operators::add_all(Engine::builder().with_config(config), bucketing).build()
}

/// The engine finds an unknown operator only when it gets there; a person wants to know at once.
fn check_operators(rule: &Value, engine: &'static Engine, levels: usize) -> Result<(), String> {
    let Some(levels) = levels.checked_sub(1) else {
        return Err(format!("it is nested more than {RULE_DEPTH_MAX} levels deep"));
    };
    match rule {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| check_operators(item, engine, levels)),
        Value::Object(entries) => {
            if entries.len() > 1 {
                let names: Vec<&str> = entries.keys().map(String::as_str).collect();
                return Err(format!(
                    "an object in a rule is one operator with its arguments, this one has {}: {}",
                    names.len(),
                    names.join(", ")
                ));
            }
            entries.iter().try_for_each(|(name, args)| {
                let known = || {
                    engine
                        .builtin_operator_names()
                        .chain(engine.custom_operator_names())
                };
                if known().any(|operator| operator == name) {
                    return check_operators(args, engine, levels);
                }
                let near = known()
                    .map(|operator| (strsim::damerau_levenshtein(operator, name), operator))
                    .filter(|(distance, operator)| *distance <= 1 + operator.len() / 4)
                    .min();
                let hint = near.map_or(String::new(), |(_, operator)| {
                    format!("; did you mean `{operator}`?")
                });
                Err(format!("there is no operator `{name}`{hint}"))
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}
