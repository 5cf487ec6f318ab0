//! Lists and blocks as two tools print them: `{"Quantity": 1, "Items": […]}` or a plain array; an object or an array of one.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// A list. The API leaves `Items` out when there are none.
#[derive(Debug, Clone)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    /// What the file says beside them.
    pub(super) quantity: Option<usize>,
    /// `Enabled`, which some lists have.
    pub(super) enabled: bool,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            quantity: None,
            enabled: false,
        }
    }
}

impl<T> List<T> {
    /// Whether the file says another number than there are.
    pub(super) fn miscounts(&self) -> bool {
        self.quantity.is_some_and(|said| said != self.items.len())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<List<T>, E> {
        Ok(List::default())
    }

    fn visit_none<E: Error>(self) -> Result<List<T>, E> {
        Ok(List::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<List<T>, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
        let mut list = List::default();
        while let Some(item) = seq.next_element()? {
            list.items.push(item);
        }
        Ok(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List<T>, A::Error> {
        let mut list = List::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "Items" | "items" => list.items = map.next_value::<Option<Vec<T>>>()?.unwrap_or_default(),
                "Quantity" => list.quantity = map.next_value()?,
                "Enabled" | "enabled" => {
                    list.enabled = map.next_value::<Option<bool>>()?.unwrap_or_default();
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(list)
    }
}

/// A block that may be missing.
#[derive(Debug, Clone)]
pub(super) struct Block<T>(pub(super) Option<T>);

impl<T> Default for Block<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Block<T> {
    /// The block, if it is there.
    pub(super) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T> Block<List<T>> {
    /// The items; none when there is no list.
    pub(super) fn items(&self) -> &[T] {
        self.0.as_ref().map_or(&[], |list| &list.items)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Block<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BlockVisitor(PhantomData))
    }
}

struct BlockVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for BlockVisitor<T> {
    type Value = Block<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a block")
    }

    fn visit_unit<E: Error>(self) -> Result<Block<T>, E> {
        Ok(Block(None))
    }

    fn visit_none<E: Error>(self) -> Result<Block<T>, E> {
        Ok(Block(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Block<T>, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Block<T>, A::Error> {
        let first = seq.next_element::<Option<T>>()?.flatten();
        match seq.next_element::<IgnoredAny>()? {
            Some(_) => Err(A::Error::custom("a block stands here twice")),
            None => Ok(Block(first)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Block<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|value| Block(Some(value)))
    }
}

/// A value that is compared and never shown: nothing here gives it out.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Any JSON is taken, since an error about a wrong type would say what it is.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(|value| match value {
            serde_json::Value::String(text) => Self(text),
            other => Self(other.to_string()),
        })
    }
}

/// A number that one tool writes as a number and the other as text; empty is none.
#[derive(Debug, Clone, Default)]
pub(super) struct Number(pub(super) Option<u64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Null => Ok(Self(None)),
            serde_json::Value::String(text) if text.is_empty() => Ok(Self(None)),
            serde_json::Value::String(text) => text
                .parse()
                .map(|number| Self(Some(number)))
                .map_err(|_| D::Error::custom("a text stands where a number should be")),
            serde_json::Value::Number(number) => number
                .as_u64()
                .or_else(|| whole(number.as_f64()?))
                .map(|number| Self(Some(number)))
                .ok_or_else(|| D::Error::custom(format!("{number} is no whole number"))),
            _ => Err(D::Error::custom("something stands where a number should be")),
        }
    }
}

/// `30.0` as 30: Terraform's numbers have one type.
fn whole(number: f64) -> Option<u64> {
    let text = format!("{number:.0}");
    let back: u64 = text.parse().ok()?;
    ((back as f64) - number).abs().lt(&f64::EPSILON).then_some(back)
}
