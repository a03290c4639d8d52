use std::collections::HashMap;

use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::problem::{Place, Problems, show};

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What stands in a file. Scalars keep their text: what it means is decided where it is used.
#[derive(Debug)]
pub(super) enum Value {
    /// No value: nothing at all, `~` or `null`.
    Nothing,
    /// A scalar without quotes.
    Plain(String),
    /// A scalar in quotes, or a block of text.
    Quoted(String),
    /// `[…]` or lines with `-`.
    List(Vec<Node>),
    /// `{…}` or lines with `key:`.
    Mapping(Vec<Entry>),
    /// Something whose problem has been told.
    Broken,
}

/// One `key: value`.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

impl Value {
    /// What this is called in a problem.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Nothing | Self::Broken => "nothing",
            Self::Plain(_) | Self::Quoted(_) => "text",
            Self::List(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// Reads the one document of `text`.
///
/// This goes through the events of serde-saphyr's parser, not through serde: so it is known of each scalar whether it
/// was quoted, and every duplicate key is found in one run. Anchors, aliases, merge keys, tags and directives are
/// refused; with them go expansion bombs, and what is written is what is meant.
pub(super) fn read(text: &str, problems: &mut Problems) -> Option<Node> {
    if text.len() > LARGEST_FILE {
        problems.push_whole("is larger than 16 MiB");
        return None;
    }
    let parser = Parser::new_from_str_with_options(text, options());
    match (Reader { parser, problems }).stream() {
        Ok(document) => document,
        Err(error) => {
            problems.push(place(error.marker()), error.info());
            None
        }
    }
}

fn options() -> granit_parser::Options {
    granit_parser::options! {
        disallow_directives: true,
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    }
}

struct Reader<'t, 'p> {
    parser: Parser<'t, StrInput<'t>>,
    problems: &'p mut Problems,
}

/// What the next event begins or ends.
enum Next {
    Node(Node),
    End,
}

impl<'t> Reader<'t, '_> {
    fn stream(&mut self) -> Result<Option<Node>, ScanError> {
        let mut document = None;
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event?;
            if matches!(event, Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd | Event::StreamEnd) {
                continue;
            }
            if document.is_some() {
                self.problems.push(place(&span.start), "a second document; a configuration is one document");
                return Ok(document);
            }
            if let Next::Node(node) = self.begin(event, &span)? {
                document = Some(node);
            }
        }
        if document.is_none() {
            self.problems.push_whole("is empty");
        }
        Ok(document)
    }

    fn next(&mut self) -> Result<Next, ScanError> {
        match self.parser.next_event() {
            Some(event) => event.and_then(|(event, span)| self.begin(event, &span)),
            None => Ok(Next::End),
        }
    }

    /// Reads the node that `event` begins, to its end. Depth is limited by the parser's options.
    fn begin(&mut self, event: Event<'t>, span: &Span) -> Result<Next, ScanError> {
        let at = place(&span.start);
        let value = match event {
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.problems.push(at, "aliases are not supported; write the value out");
                Value::Broken
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(at, anchor, tag.as_deref());
                scalar(text.into_owned(), style)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_properties(at, anchor, tag.as_deref());
                Value::List(self.list()?)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_properties(at, anchor, tag.as_deref());
                Value::Mapping(self.mapping()?)
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::SequenceEnd
            | Event::MappingEnd
            | _ => return Ok(Next::End),
        };
        Ok(Next::Node(Node { place: at, value }))
    }

    fn refuse_properties(&mut self, at: Place, anchor: usize, tag: Option<&Tag>) {
        if anchor != 0 {
            self.problems.push(at, "anchors are not supported");
        }
        if let Some(tag) = tag {
            self.problems.push(at, format!("tags are not supported: {}", show(&tag.original())));
        }
    }

    fn list(&mut self) -> Result<Vec<Node>, ScanError> {
        let mut items = Vec::new();
        while let Next::Node(item) = self.next()? {
            items.push(item);
        }
        Ok(items)
    }

    fn mapping(&mut self) -> Result<Vec<Entry>, ScanError> {
        let mut entries = Vec::new();
        let mut lines = HashMap::new();
        while let Next::Node(key) = self.next()? {
            let Next::Node(value) = self.next()? else { break };
            let place = key.place;
            let (Value::Plain(key) | Value::Quoted(key)) = key.value else {
                self.refuse_key(&key);
                continue;
            };
            if key == "<<" {
                self.problems.push(place, "merge keys are not supported; write the values out");
                continue;
            }
            if let Some(line) = lines.insert(key.clone(), place.line) {
                self.problems.push(place, format!("key {} stands here twice, first in line {line}", show(&key)));
                continue;
            }
            entries.push(Entry { key, place, value });
        }
        Ok(entries)
    }

    fn refuse_key(&mut self, key: &Node) {
        if !matches!(key.value, Value::Broken) {
            self.problems.push(key.place, format!("a key is text, and this is {}", key.value.kind()));
        }
    }
}

/// Only what stands for "no value" in YAML 1.2 is told apart here; `no`, `on` and `1e3` stay the text they are.
fn scalar(text: String, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Quoted(text);
    }
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Nothing,
        _ => Value::Plain(text),
    }
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// Far beyond ten thousand routes.
const LARGEST_FILE: usize = 16 * 1024 * 1024;
/// Far beyond the five levels that a configuration has, and shallow enough for recursion.
const DEEPEST: usize = 32;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn problems(text: &str) -> String {
        let mut problems = Problems::new(Path::new("g"));
        let document = read(text, &mut problems);
        problems.result(document).map_or_else(|problems| problems.to_string(), |node| format!("{:?}", node.value))
    }

    #[test]
    fn what_cannot_be_read_in_one_way_is_refused_with_its_place() {
        let deep = format!("a: {}{}", "[".repeat(40), "]".repeat(40));
        for (text, expected) in [
            ("", "g: is empty"),
            ("# nothing\n", "g: is empty"),
            ("a: 1\nb: 2\na: 3\n", "g:3:1: key `a` stands here twice, first in line 1"),
            ("a: {x: 1, 'x': 2}\n", "g:1:11: key `x` stands here twice, first in line 1"),
            ("a: &x 1\n", "g:1:7: anchors are not supported"),
            ("a: *x\n", "g:1:4: aliases are not supported; write the value out"),
            ("a: {<<: {b: 1}}\n", "g:1:5: merge keys are not supported; write the values out"),
            ("a: !!str 1\n", "g:1:10: tags are not supported: `!!str`"),
            ("[a]: b\n", "g:1:1: a key is text, and this is a list"),
            ("a: 1\n---\nb: 1\n", "g:3:1: a second document; a configuration is one document"),
            (&deep, "g:1:36: recursion limit exceeded"),
        ] {
            assert_eq!(problems(text), expected, "{text}");
        }
    }

    #[test]
    fn an_expansion_bomb_is_refused_and_not_expanded() {
        let line = |n: i32| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1);
        let text = "a0: &a0 [x, x]\n".to_owned() + &(1..64).map(line).collect::<String>();
        assert!(problems(&text).contains("g:2:10: aliases are not supported; write the value out"));
    }

    #[test]
    fn scalars_keep_their_text() {
        assert_eq!(
            problems("[no, on, 0x1F, 1e3, 12:30:45, \"\", ~, 'null', 1h]"),
            "List([Node { place: Place { line: 1, column: 2 }, value: Plain(\"no\") }, ".to_owned().as_str().to_owned()
                + &[
                    (6, "Plain(\"on\")"),
                    (10, "Plain(\"0x1F\")"),
                    (16, "Plain(\"1e3\")"),
                    (21, "Plain(\"12:30:45\")"),
                    (31, "Quoted(\"\")"),
                    (35, "Nothing"),
                    (38, "Quoted(\"null\")"),
                    (46, "Plain(\"1h\")"),
                ]
                .map(|(column, value)| format!(
                    "Node {{ place: Place {{ line: 1, column: {column} }}, value: {value} }}"
                ))
                .join(", ")
                + "])"
        );
    }
}
