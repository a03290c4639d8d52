use std::{fmt, marker::PhantomData};

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A JSON object.
#[derive(Debug)]
pub(super) struct Object(Vec<(String, Value)>);

impl Object {
    /// Reads the whole of `json` as one object in which all names are different, at every depth: RFC 7519 section 4 lets a
    /// parser take the last of two, we take none.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(json).ok()?;
        let Members(object, ..) = serde_json::from_str::<Members<Unrepeated>>(text).ok()?;
        object.is_unrepeated().then_some(object)
    }

    /// Whether all names are different. What is read has a longest length; the number of members needs no bound beside it.
    pub(super) fn is_unrepeated(&self) -> bool {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).all(|pair| pair[0] != pair[1])
    }

    /// The first member called `name`, also one that is null.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// The member called `name`. One that is null is as good as absent: serializers write such for what was not set.
    pub(super) fn stated(&self, name: &str) -> Option<&Value> {
        self.member(name).filter(|value| !value.is_null())
    }

    /// Whether a member of this name is there and not null, once or more often.
    pub(super) fn states(&self, name: &str) -> bool {
        self.0.iter().any(|(own, value)| own == name && !value.is_null())
    }
}

/// An object and, where its value is none, nothing. Names may be repeated; the values are read as `V`.
pub(super) struct Members<V>(pub(super) Object, PhantomData<V>);

impl<'de, V: Deserialize<'de> + Into<Value>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de> + Into<Value>> Visitor<'de> for MembersVisitor<V> {
    type Value = Members<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Members<V>, A::Error> {
        Ok(Members(Object(members::<V, A>(map)?), PhantomData))
    }
}

fn members<'de, V: Deserialize<'de> + Into<Value>, A: MapAccess<'de>>(
    mut map: A,
) -> Result<Vec<(String, Value)>, A::Error> {
    let mut members = Vec::with_capacity(16);
    while let Some((name, value)) = map.next_entry::<String, V>()? {
        members.push((name, value.into()));
    }
    Ok(members)
}

/// One of a list of which each should be an object.
pub(super) enum Item {
    /// It is one; names in it may be repeated.
    Object(Object),
    /// It is something else.
    Other,
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        members::<Value, A>(map).map(Object).map(Item::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Item::Other)
    }

    fn visit_unit<E>(self) -> Result<Item, E> {
        Ok(Item::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Item, E> {
        Ok(Item::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Item, E> {
        Ok(Item::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Item, E> {
        Ok(Item::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Item, E> {
        Ok(Item::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Item, E> {
        Ok(Item::Other)
    }
}

/// A JSON value in which no object has a name twice.
struct Unrepeated(Value);

impl From<Unrepeated> for Value {
    fn from(value: Unrepeated) -> Self {
        value.0
    }
}

impl<'de> Deserialize<'de> for Unrepeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnrepeatedVisitor).map(Self)
    }
}

struct UnrepeatedVisitor;

impl<'de> Visitor<'de> for UnrepeatedVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unrepeated(value))) = map.next_entry::<String, Unrepeated>()? {
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("a member is repeated"));
            }
        }
        Ok(Value::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Unrepeated(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_each_name_once() {
        let many =
            |count: usize| format!("{{{}}}", (0..count).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(","));
        for (json, expected) in [
            (r#"{"a":1,"b":{"a":2}}"#.to_owned(), true),
            (many(64), true),
            (many(5_000), true),
            (many(5_000).replacen("\"4\"", "\"4999\"", 1), false),
            (r#"{"a":1,"a":1}"#.to_owned(), false),
            (r#"{"a":1,"\u0061":1}"#.to_owned(), false),
            (r#"{"a":{"b":1,"b":1}}"#.to_owned(), false),
            (r#"{"a":[{"b":1,"\u0062":null}]}"#.to_owned(), false),
            ("[]".to_owned(), false),
            ("\"a\"".to_owned(), false),
            (String::new(), false),
            ("{} {}".to_owned(), false),
            (format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200)), false),
        ] {
            assert_eq!(Object::parse(json.as_bytes()).is_some(), expected, "{json:.80}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_none());
    }

    #[test]
    fn values_are_read_as_the_library_reads_them() {
        let json = r#"{"a":[null,true,-1,1,1.5,"\u00e9",{"b":[]}],"c":{"d":18446744073709551615}}"#;
        let object = Object::parse(json.as_bytes()).unwrap();
        let library: Value = serde_json::from_str(json).unwrap();
        assert_eq!((object.member("a"), object.member("c")), (library.get("a"), library.get("c")));
    }

    #[test]
    fn null_is_absence_to_who_asks_what_is_stated() {
        let object = Object::parse(br#"{"a":null,"b":0}"#).unwrap();
        assert!(object.member("a").is_some() && object.stated("a").is_none() && !object.states("a"));
        assert!(object.stated("b").is_some() && object.states("b"));
    }
}
