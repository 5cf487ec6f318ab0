//! The body of a question: JSON with a context.

use std::sync::LazyLock;

use http::Method;
use serde_json::{Map, Value};

use super::fault::Fault;
use crate::{
    clock::UnixTime,
    fields::Fields,
    flag::{Person, Subject},
};

/// What a program says of whom it asks about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    key: Option<String>,
    user: Option<(String, Vec<String>)>,
    given: Map<String, Value>,
}

/// A program's own request is nobody's: rules see what it gives, and nothing of it.
static NO_FIELDS: LazyLock<Fields> = LazyLock::new(Fields::new);

impl Context {
    /// Reads a body. One without a context, and none at all, stand for an empty one, as flagd takes them.
    ///
    /// # Errors
    /// [`Fault::Parse`] for what is no JSON, [`Fault::InvalidContext`] for JSON of another shape.
    pub fn read(body: &[u8]) -> Result<Self, Fault> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let body: Value = serde_json::from_slice(body).map_err(|error| Fault::Parse(error.to_string()))?;
        let Value::Object(mut body) = body else {
            return Err(Fault::InvalidContext("the body is not an object"));
        };
        let given = match body.remove("context") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(context)) => context,
            Some(_) => return Err(Fault::InvalidContext("`context` is not an object")),
        };
        let key = match given.get("targetingKey") {
            None | Some(Value::Null) => None,
            Some(Value::String(key)) => Some(key.clone()),
            Some(_) => return Err(Fault::InvalidContext("`targetingKey` is not a text")),
        };
        let user = given.get("user").and_then(|user| {
            let id = user.get("id")?.as_str()?.to_owned();
            let roles = user.get("roles").and_then(Value::as_array);
            let roles = roles.into_iter().flatten().filter_map(Value::as_str);
            Some((id, roles.map(str::to_owned).collect()))
        });
        Ok(Self { key, user, given })
    }

    /// Whom a program asks about: the key is the visitor's id, `user.id` whom a rollout by user goes by.
    #[must_use]
    pub fn subject(&self, now: UnixTime) -> Subject<'_> {
        Subject {
            visitor: self.key.as_deref(),
            person: self.user.as_ref().map(|(id, roles)| Person {
                id,
                roles,
                claims: None,
            }),
            host: "",
            path: "",
            query: None,
            method: &Method::GET,
            headers: &NO_FIELDS,
            now,
            given: Some(&self.given),
            forced: None,
            pins: None,
        }
    }
}
