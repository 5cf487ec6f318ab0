//! Decides flags for who asks, and says so in the protocol's words.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Audience, FLAGS_AT_ONCE, Reply, bulk, count, fault::Fault};
use crate::{
    flag::{Choice, Flag, FlagId, Outcome, Reason, RolloutBy, Subject, Watch},
    snapshot::{Snapshot, serving::Served},
};

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Question<'r> {
    /// What they may read.
    pub audience: Audience,
    /// Whom it is about. A browser's is made of its own request, with whom the gate found.
    pub subject: Subject<'r>,
}

impl Question<'_> {
    /// The flag of this key, if whoever asks may read it.
    fn find(&self, key: &str, at: &Snapshot) -> Option<Served> {
        let flag = at.flags.by_key(key)?;
        match self.audience {
            Audience::Browsers => at.serving.public(flag),
            Audience::Programs => Some(Served {
                flag,
                sees_person: true,
            }),
        }
    }

    /// Up to [`FLAGS_AT_ONCE`] of the flags that whoever asks may read, from this place on.
    fn some(&self, from: usize, at: &Snapshot) -> Vec<Served> {
        match self.audience {
            Audience::Browsers => {
                let public = at.serving.public.iter().skip(from);
                public.take(FLAGS_AT_ONCE).copied().collect()
            }
            Audience::Programs => {
                let served = |(flag, _)| Served {
                    flag,
                    sees_person: true,
                };
                let all = at.flags.iter().skip(from);
                all.take(FLAGS_AT_ONCE).map(served).collect()
            }
        }
    }

    fn decide(&self, served: Served, at: &Snapshot) -> (Choice, bool) {
        let subject = Subject {
            person: self.subject.person.filter(|_| served.sees_person),
            ..self.subject
        };
        let mut missed = KeyMissed(false);
        let choice = at.flags.decide(served.flag, &subject, &mut missed);
        (choice, missed.0)
    }

    /// What a flag says: the fields of a success, or why not.
    fn evaluate(&self, served: Served, at: &Snapshot) -> (Choice, Result<Value, Fault>) {
        let (choice, key_missed) = self.decide(served, at);
        let Some(flag) = at.flags.get(served.flag) else {
            return (choice, Err(Fault::FlagNotFound));
        };
        let unkeyed = key_missed && choice.reason == Reason::Default;
        let told = match (choice.error, choice.variant) {
            (Some(fault), None) => Err(fault.into()),
            // A browser that has no cookie gets the default, as it does from routing; a program has forgotten something.
            _ if unkeyed && self.audience == Audience::Programs => Err(Fault::TargetingKeyMissing),
            _ => Ok(success(flag, &choice)),
        };
        (choice, told)
    }
}

/// Sees that a rollout by visitor found no id.
struct KeyMissed(bool);

impl Watch for KeyMissed {
    fn rule(&mut self, _: usize, _: Outcome<'_>) {}

    fn rollout(&mut self, by: RolloutBy, place: Option<u32>) {
        self.0 |= by == RolloutBy::Visitor && place.is_none();
    }
}

/// What a flag that decided is to a client. Without a value it takes its code's own default: so does flagd say `DISABLED`.
fn success(flag: &Flag, choice: &Choice) -> Value {
    let (reason, own) = told(choice.reason.as_str());
    let scalars = flag
        .metadata()
        .iter()
        .filter(|(_, value)| !value.is_array() && !value.is_object() && !value.is_null());
    let mut metadata: Map<String, Value> = scalars
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Some(own) = own {
        metadata.insert("reason".to_owned(), own.into());
    }
    if let Some(fault) = choice.error {
        metadata.insert("errorCode".to_owned(), fault.as_str().into());
    }
    let mut fields = json!({ "key": flag.key().as_str(), "reason": reason, "metadata": metadata });
    let shown = choice.variant.filter(|_| choice.reason != Reason::Disabled);
    if let (Some(variant), Some(fields)) = (shown, fields.as_object_mut()) {
        fields.extend(
            flag.value(variant)
                .map(|value| ("value".to_owned(), value.clone())),
        );
        fields.extend(
            flag.variant(variant)
                .map(|name| ("variant".to_owned(), name.as_str().into())),
        );
    }
    fields
}

/// A reason that the protocol's clients know, and Banyan's own word where they don't.
fn told(reason: &'static str) -> (&'static str, Option<&'static str>) {
    match reason {
        // `DEFAULT` is in ADR-0006 and in flagd, though the schema of 0.3.0 forgot it
        "STATIC" | "TARGETING_MATCH" | "SPLIT" | "DISABLED" | "DEFAULT" => (reason, None),
        own => ("UNKNOWN", Some(own)),
    }
}

/// Answers about one flag, with what it decided.
#[must_use]
pub fn single(question: &Question<'_>, key: &str, at: &Snapshot) -> (Reply, Option<(FlagId, Choice)>) {
    let Some(served) = question.find(key, at) else {
        return (Fault::FlagNotFound.reply(Some(key)), None);
    };
    let (choice, told) = question.evaluate(served, at);
    let reply = match told {
        Ok(fields) => Reply::new(StatusCode::OK, &fields),
        Err(fault) => fault.reply(Some(key)),
    };
    (reply, Some((served.flag, choice)))
}

/// An answer about all flags, made piece by piece so that nothing else has to wait for it.
#[derive(Debug, Default)]
pub struct Bulk {
    flags: Vec<Value>,
    /// How many flags were looked at.
    place: usize,
}

impl Bulk {
    /// Decides up to [`FLAGS_AT_ONCE`] more flags. The answer, when there are no more.
    pub fn go_on(&mut self, question: &Question<'_>, at: &Snapshot) -> Option<Reply> {
        for served in question.some(self.place, at) {
            self.place += 1;
            let key = at.flags.get(served.flag).map(|flag| flag.key().as_str());
            let (_, told) = question.evaluate(served, at);
            self.flags.push(told.unwrap_or_else(|fault| failure(&fault, key)));
        }
        let all = count(question.audience, at);
        (self.place >= all).then(|| bulk(&self.flags, question.audience))
    }
}

fn failure(fault: &Fault, key: Option<&str>) -> Value {
    json!({ "key": key, "errorCode": fault.code(), "errorDetails": fault.to_string(), "metadata": {} })
}
