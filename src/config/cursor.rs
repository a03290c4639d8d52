//! Reading the tree that [`super::yaml`] gives, telling every problem on the way.
//!
//! A reader is a function `(&Node, &mut Problems) -> Option<T>`; `None` means that the problem has been told.

use super::{
    problem::{Place, Problems, show},
    suggest::unknown,
    yaml::{Entry, Node, Value},
};

/// A value and where it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<T> {
    pub(super) place: Place,
    pub(super) value: T,
}

/// What a file says under a key.
#[derive(Debug, Default)]
pub(super) enum Written<T> {
    /// Nothing: the key is absent.
    #[default]
    Absent,
    /// Something unusable, already told.
    Broken,
    /// This.
    Is(At<T>),
}

impl<T> Written<T> {
    /// Whether the key stands nowhere.
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value, if there is a usable one.
    pub(super) fn given(self) -> Option<At<T>> {
        match self {
            Self::Is(at) => Some(at),
            Self::Absent | Self::Broken => None,
        }
    }

    /// The section, or one without any key.
    pub(super) fn or_empty(self) -> T
    where
        T: Default,
    {
        self.given().map(|at| at.value).unwrap_or_default()
    }
}

/// The keys of one mapping, taken by name.
pub(super) struct Fields<'n, 'p> {
    place: Place,
    entries: &'n [Entry],
    known: Vec<&'static str>,
    problems: &'p mut Problems,
}

impl<'n> Fields<'n, '_> {
    /// The value of a key that may be absent.
    pub(super) fn optional<T>(&mut self, key: &'static str, read: impl Reader<T>) -> Written<T> {
        let Some(entry) = self.take(key) else {
            return Written::Absent;
        };
        match at(&entry.value, self.problems, read) {
            Some(value) => Written::Is(value),
            None => Written::Broken,
        }
    }

    /// The value of a key that must stand; `None` if it does not or is broken.
    pub(super) fn required<T>(&mut self, key: &'static str, read: impl Reader<T>) -> Option<At<T>> {
        let written = self.optional(key, read);
        if written.is_absent() {
            self.problems.push(self.place, format!("missing key `{key}`"));
        }
        written.given()
    }

    /// The place of a key whose meaning a later release brings. Its value is read for mistakes; an empty list is no use of it.
    pub(super) fn unsupported<T>(&mut self, key: &'static str, read: impl Reader<T>) -> Option<Place> {
        let entry = self.take(key)?;
        if matches!(&entry.value.value, Value::List(items) if items.is_empty()) {
            return None;
        }
        read(&entry.value, self.problems);
        Some(entry.place)
    }

    fn take(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.known.push(key);
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn refuse_unknown(self) {
        let known = &self.known;
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            self.problems.push(entry.place, unknown("key", &entry.key, known.iter().copied()));
        }
    }
}

/// What turns a node into a value.
pub(super) trait Reader<T>: Fn(&Node, &mut Problems) -> Option<T> {}

impl<T, F: Fn(&Node, &mut Problems) -> Option<T>> Reader<T> for F {}

/// Reads a mapping with fixed keys; keys that `read` does not ask for are refused.
pub(super) fn section<T>(node: &Node, problems: &mut Problems, read: impl FnOnce(&mut Fields) -> T) -> Option<T> {
    let entries = mapping(node, problems)?;
    let mut fields = Fields { place: node.place, entries, known: Vec::new(), problems };
    let value = read(&mut fields);
    fields.refuse_unknown();
    Some(value)
}

/// A value under a name that the file chose; `None` if it is broken, which leaves the name known.
#[derive(Debug)]
pub(super) struct Named<T> {
    pub(super) name: At<String>,
    pub(super) value: Option<T>,
}

/// A mapping whose keys are names, at least one.
pub(super) fn named<T>(read: impl Reader<T>) -> impl Reader<Vec<Named<T>>> {
    move |node: &Node, problems: &mut Problems| {
        let entries = filled(mapping(node, problems)?, node, problems)?;
        let item = |entry: &Entry| Named {
            name: At { place: entry.place, value: entry.key.clone() },
            value: read(&entry.value, problems),
        };
        Some(entries.iter().map(item).collect())
    }
}

/// A list; broken items are left out.
pub(super) fn list<T>(read: impl Reader<T>) -> impl Reader<Vec<At<T>>> {
    move |node: &Node, problems: &mut Problems| {
        let Value::List(items) = &node.value else {
            return expected("a list", node, problems);
        };
        Some(items.iter().filter_map(|item| at(item, problems, &read)).collect())
    }
}

/// A list of at least one item; broken ones are left out.
pub(super) fn some<T>(read: impl Reader<T>) -> impl Reader<Vec<At<T>>> {
    let read = list(read);
    move |node: &Node, problems: &mut Problems| {
        if let Value::List(items) = &node.value {
            filled(items, node, problems)?;
        }
        read(node, problems)
    }
}

/// One text, or a list of at least one.
pub(super) fn some_texts(node: &Node, problems: &mut Problems) -> Option<Vec<At<String>>> {
    if let Value::List(items) = &node.value {
        filled(items, node, problems)?;
    }
    texts(node, problems)
}

/// One text, or a list of any number.
pub(super) fn texts(node: &Node, problems: &mut Problems) -> Option<Vec<At<String>>> {
    match node.value {
        Value::List(_) => list(text)(node, problems),
        Value::Nothing | Value::Plain(_) | Value::Quoted(_) | Value::Mapping(_) | Value::Broken => {
            at(node, problems, text).map(|one| vec![one])
        }
    }
}

/// Reads a text.
pub(super) fn text(node: &Node, problems: &mut Problems) -> Option<String> {
    match &node.value {
        Value::Plain(text) | Value::Quoted(text) => Some(text.clone()),
        Value::Nothing | Value::List(_) | Value::Mapping(_) | Value::Broken => expected("text", node, problems),
    }
}

/// Reads `true` or `false`, which are the only spellings.
pub(super) fn truth(node: &Node, problems: &mut Problems) -> Option<bool> {
    match plain("`true` or `false`", node, problems)? {
        "true" => Some(true),
        "false" => Some(false),
        other => {
            problems.push(node.place, format!("expected `true` or `false`, found {}", show(other)));
            None
        }
    }
}

/// Reads a whole number in decimal digits.
pub(super) fn number(node: &Node, problems: &mut Problems) -> Option<u64> {
    let text = plain("a whole number", node, problems)?;
    let number = super::units::digits(text);
    if number.is_none() {
        problems.push(node.place, format!("expected a whole number, found {}", show(text)));
    }
    number
}

fn plain<'n>(what: &str, node: &'n Node, problems: &mut Problems) -> Option<&'n str> {
    match &node.value {
        Value::Plain(text) => Some(text),
        Value::Quoted(_) => {
            problems.push(node.place, format!("expected {what} without quotes"));
            None
        }
        Value::Nothing | Value::List(_) | Value::Mapping(_) | Value::Broken => expected(what, node, problems),
    }
}

fn mapping<'n>(node: &'n Node, problems: &mut Problems) -> Option<&'n [Entry]> {
    match &node.value {
        Value::Mapping(entries) => Some(entries),
        Value::Nothing | Value::Plain(_) | Value::Quoted(_) | Value::List(_) | Value::Broken => {
            expected("a mapping", node, problems)
        }
    }
}

fn filled<'n, T>(items: &'n [T], node: &Node, problems: &mut Problems) -> Option<&'n [T]> {
    if items.is_empty() {
        problems.push(node.place, "expected at least one entry");
        return None;
    }
    Some(items)
}

fn at<T>(node: &Node, problems: &mut Problems, read: impl Reader<T>) -> Option<At<T>> {
    read(node, problems).map(|value| At { place: node.place, value })
}

/// Tells what stands there instead, without the text itself: it may be a secret.
fn expected<T>(what: &str, node: &Node, problems: &mut Problems) -> Option<T> {
    if !matches!(node.value, Value::Broken) {
        problems.push(node.place, format!("expected {what}, found {}", node.value.kind()));
    }
    None
}
