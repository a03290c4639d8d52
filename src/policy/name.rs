//! Names that stand for one thing in some parser, though their bytes differ.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::path::encoded_byte;

/// A text that can be read in more than one way, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// How a name relates to the one looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    Same,
    /// Not the same, but some parser takes it for that one.
    Similar,
    Other,
}

/// How a member of a JSON object relates to `name`: some parsers ignore case.
pub(super) fn member_likeness(own: &str, name: &str) -> Likeness {
    if own == name {
        Likeness::Same
    } else if is_alike(own, name) {
        Likeness::Similar
    } else {
        Likeness::Other
    }
}

/// How a parameter of a query or form, decoded once, relates to `name`.
///
/// Parsers read structure into names (`[applicationId]`, `applicationId[]`, `a.applicationId`, `applicationId:list`), cut
/// them at a zero byte, strip spaces, store what is no letter as `_` (PHP), ignore case, or decode once more. A name is
/// similar if its words, or some in a row, are those of `name` once all of that is folded away.
pub(super) fn parameter_likeness(own: &str, name: &str) -> Likeness {
    if own == name {
        return Likeness::Same;
    }
    let similar = if is_plain(own) && is_plain(name) {
        own.eq_ignore_ascii_case(name)
    } else {
        let (own, name) = (words(&decode_further(own)), words(name));
        holds_run(&own, &name.concat(), "") || holds_run(&own, &name.join("_"), "_")
    };
    if similar { Likeness::Similar } else { Likeness::Other }
}

/// Whether `name` is one word in which there is nothing to fold but case, as nearly every parameter's name is.
fn is_plain(name: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    name.bytes().all(|byte| word(&byte)) && !name.starts_with('_') && !name.ends_with('_')
}

/// The words of a parameter's name, folded: letters, digits, `-`, and single `_` within.
fn words(name: &str) -> Vec<String> {
    let folded: String = fold(&name.nfkc().collect::<String>()).collect();
    let word = |text: &str| text.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_");
    let separates = |letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | '-');
    folded.split(separates).map(word).filter(|word| !word.is_empty()).collect()
}

/// `text` with its percent-encodings decoded, and those that this brings to light, as far as any chain of servers goes.
fn decode_further(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MOST_DECODINGS {
        let Some(start) = text.find('%') else { break };
        text = Cow::Owned(decode_leniently(&text, start));
    }
    text
}

/// `text` with every `%XX` from `start` on decoded; what is no encoding stays.
fn decode_leniently(text: &str, start: usize) -> String {
    let bytes = text.as_bytes();
    let mut decoded = bytes[..start].to_vec();
    let mut at = start;
    while at < bytes.len() {
        let encoded = if bytes[at] == b'%' { encoded_byte(bytes, at) } else { None };
        decoded.push(encoded.unwrap_or(bytes[at]));
        at += if encoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// How often a name may be decoded once more by servers behind servers.
const MOST_DECODINGS: usize = 4;

/// Whether some words in a row, joined by `joint`, are `whole`.
fn holds_run(words: &[String], whole: &str, joint: &str) -> bool {
    (0..words.len()).any(|start| {
        let mut rest = whole;
        for (place, word) in words[start..].iter().enumerate() {
            let joined = if place == 0 { Some(rest) } else { rest.strip_prefix(joint) };
            match joined.and_then(|rest| rest.strip_prefix(word.as_str())) {
                Some("") => return true,
                Some(left) => rest = left,
                None => return false,
            }
        }
        false
    })
}

/// Whether a parameter's name says nothing once what parsers fold is folded away.
pub fn is_blank_parameter(name: &str) -> bool {
    words(name).is_empty()
}

/// Whether some parser takes the parameter `own` for `name`, or it is that one.
pub fn is_parameter_alike(own: &str, name: &str) -> bool {
    parameter_likeness(own, name) != Likeness::Other
}

/// Whether some server takes the header field `own` for `name`, or it is that one.
///
/// Interfaces that hand fields on as variables (CGI, WSGI, Rack, PHP) ignore case and turn `-`, or whatever is neither
/// letter nor digit, into `_`; what stands at an end, or twice in a row, some of them drop.
pub fn is_header_alike(own: &str, name: &str) -> bool {
    header_begins_alike(own, name) && header_begins_alike(name, own)
}

/// Whether some server takes the header field `own` for one whose name begins with the words of `start`:
/// `x_forwarded__for` with those of `x-forwarded`.
pub fn header_begins_alike(own: &str, start: &str) -> bool {
    let mut own = header_words(own);
    header_words(start).all(|word| own.next().is_some_and(|own| own.eq_ignore_ascii_case(word)))
}

pub(super) fn header_words(name: &str) -> impl Iterator<Item = &[u8]> {
    name.as_bytes().split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// Whether a parser that ignores case may take `own` for `name`.
///
/// Most fold ASCII letters alone. Go, Java and .NET fold those of other alphabets too, each in its own way: to some `ſ` is
/// an `s`, the Kelvin sign a `k`, and `ı` or `İ` an `i`. What any of them takes for the same is the same here.
fn is_alike(own: &str, name: &str) -> bool {
    if own.is_ascii() && name.is_ascii() {
        return own.eq_ignore_ascii_case(name);
    }
    fold(own).eq(fold(name))
}

/// There and back again, so that letters meet which share a form in either case.
fn fold(text: &str) -> impl Iterator<Item = char> {
    let folded = text.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    folded.filter(|letter| *letter != DOT_ABOVE)
}

/// What is left of `İ` beside its `i`.
const DOT_ABOVE: char = '\u{307}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_alike_if_any_parser_says_so() {
        for (own, name, expected) in [
            ("task", "task", true),
            ("TASK", "task", true),
            ("ta\u{17f}k", "task", true),
            ("tas\u{212a}", "task", true),
            ("\u{131}d", "id", true),
            ("\u{130}D", "id", true),
            ("pa\u{1e9e}", "pass", true),
            ("\u{c9}tat", "\u{e9}TAT", true),
            ("tas", "task", false),
            ("task ", "task", false),
            ("t\u{e1}sk", "task", false),
            ("\u{ff49}d", "id", false),
        ] {
            assert_eq!(is_alike(own, name), expected, "{own} {name}");
            assert_eq!(is_alike(name, own), expected, "{name} {own}");
        }
    }

    #[test]
    fn a_parameter_is_similar_if_any_parser_reads_the_name_out_of_it() {
        for own in [
            "APPLICATIONID",
            "[applicationId]",
            "applicationId[]",
            "applicationId[0]",
            "applicationId[a][b]",
            "a[applicationId]",
            "a[b][c][applicationId][]",
            "__proto__[applicationId]",
            "[][applicationId]",
            "]applicationId",
            "applicationId]",
            "applicationId[",
            "application[Id]",
            "application.Id",
            ".applicationId",
            "a.applicationId",
            "applicationId.0",
            " applicationId",
            "applicationId ",
            "\tapplicationId\r\n",
            "\u{a0}applicationId",
            "\u{feff}applicationId",
            "application\u{ad}Id",
            "application\0Id",
            "applicationId\0x",
            "?applicationId",
            "&applicationId",
            "amp;applicationId",
            "a&applicationId",
            "applicationId:list",
            "!applicationId",
            "_applicationId",
            "applicationId(1i)",
            "a['applicationId']",
            "{\"applicationId\"",
            "%61pplicationId",
            "%2561pplicationId",
            "%25252561pplicationId",
            "applicationId%5B%5D",
            "%applicationId",
            "appl\u{131}cationId",
            "\u{ff41}\u{ff50}\u{ff50}lication\u{ff29}\u{ff44}",
            "\u{1d4ea}pplicationId",
            "\u{24d0}pplicationId",
        ] {
            assert_eq!(parameter_likeness(own, "applicationId"), Likeness::Similar, "{own:?}");
        }
        for own in [
            "",
            "x",
            "application",
            "application_id",
            "application-id",
            "applicationIds",
            "xapplicationId",
            "[]",
            "Id[application]",
        ] {
            assert_eq!(parameter_likeness(own, "applicationId"), Likeness::Other, "{own:?}");
        }
    }

    #[test]
    fn a_name_of_several_words_is_found_in_whatever_separates_them() {
        for name in ["task_id", "task.id", "task[id]"] {
            for own in ["task.id[]", "task id", "TASK[ID]", "x[task][id]", "x[task.id]", "task..id", "_task.id_"] {
                assert_eq!(parameter_likeness(own, name), Likeness::Similar, "{own:?} for {name:?}");
            }
            for own in ["task", "id", "task-id", "task[x][id]", "tasks[id]", "id[task]"] {
                assert_eq!(parameter_likeness(own, name), Likeness::Other, "{own:?} for {name:?}");
            }
            assert_eq!(parameter_likeness(name, name), Likeness::Same);
        }
        assert_eq!(parameter_likeness("taskid", "task_id"), Likeness::Other);
        assert_eq!(parameter_likeness("x_task_id", "task_id"), Likeness::Other);
    }

    #[test]
    fn header_fields_are_alike_if_a_variable_is_named_after_both() {
        for own in [
            "x-app-id",
            "X-APP-ID",
            "x_app_id",
            "x.app.id",
            "x-app_id",
            "x--app-id",
            "x-app-id_",
            "-x-app-id",
            "_x_app_id",
            "x~app!id",
        ] {
            assert!(is_header_alike(own, "x-app-id") && is_header_alike("x-app-id", own), "{own}");
            assert!(header_begins_alike(own, "x-app") && header_begins_alike(own, "X_App_Id"), "{own}");
        }
        for own in ["x-app", "x-app-ids", "x-app-id-2", "xapp-id", "xx-app-id", "_", ""] {
            assert!(!is_header_alike(own, "x-app-id") && !is_header_alike("x-app-id", own), "{own}");
            assert!(!header_begins_alike(own, "x-app-id") || own == "x-app-id-2", "{own}");
        }
        assert!(!header_begins_alike("x-application", "x-app"));
    }
}
