use std::borrow::Cow;

use super::{
    name::{Ambiguous, Likeness, parameter_likeness},
    path::percent_decode,
};

/// The value of parameter `name` in `query` (or in a form), `None` if it does not stand there.
///
/// It must stand once, in pairs separated by `&` alone, and among the first hundred of them; no parser may read it out of
/// another name (see [`parameter_likeness`]). Both sides are decoded once (`+` is a space).
pub(super) fn find_parameter<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, str>>, Ambiguous> {
    if query.contains(';') {
        return Err(Ambiguous);
    }
    let mut found = None;
    for (place, pair) in query.split('&').enumerate() {
        let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
        let own = decode_form(own).ok_or(Ambiguous)?;
        match parameter_likeness(&own, name) {
            Likeness::Other => {}
            Likeness::Same if found.is_none() && place < MOST_PAIRS => {
                found = Some(decode_form(value).ok_or(Ambiguous)?);
            }
            Likeness::Same | Likeness::Similar => return Err(Ambiguous),
        }
    }
    Ok(found)
}

/// Some servers read so many pairs of a query and drop the rest without a word.
const MOST_PAIRS: usize = 100;

/// `text` of a query or form decoded once: `+` is a space, `%XX` a byte. `None` if an encoding is broken or the result is
/// not UTF-8.
pub fn decode_form(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('+') {
        return percent_decode(text);
    }
    let spaced = text.replace('+', " ");
    percent_decode(&spaced).map(|decoded| Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_stands_once_or_nowhere() {
        for (query, expected) in [
            ("applicationId=a", Ok(Some("a"))),
            ("x=1&applicationId=a&y", Ok(Some("a"))),
            ("application%49d=a%3Ab", Ok(Some("a:b"))),
            ("applicationId=a+b", Ok(Some("a b"))),
            ("applicationId", Ok(Some(""))),
            ("", Ok(None)),
            ("x=applicationId=a", Ok(None)),
            ("y=1%26applicationId=a", Ok(None)),
            ("a=b?applicationId=a", Ok(None)),
            ("applicationId=a&applicationId=a", Err(Ambiguous)),
            ("applicationId=a&ApplicationId=b", Err(Ambiguous)),
            ("APPLICATIONID=a", Err(Ambiguous)),
            ("applicationId[]=b&applicationId=a", Err(Ambiguous)),
            ("applicationId%5B0%5D=b", Err(Ambiguous)),
            ("x=1;applicationId=a", Err(Ambiguous)),
            ("applicationId=a;b", Err(Ambiguous)),
            ("+applicationId=a", Err(Ambiguous)),
            ("appl%C4%B1cationId=b&applicationId=a", Err(Ambiguous)),
            ("applicationId%00=b&applicationId=a", Err(Ambiguous)),
            ("applicationId=%zz", Err(Ambiguous)),
            ("%zz=1&applicationId=a", Err(Ambiguous)),
            ("applicationId=%ff", Err(Ambiguous)),
            ("applicationId=a&[applicationId]=b", Err(Ambiguous)),
            ("[applicationId]=a", Err(Ambiguous)),
            ("a[applicationId]=b&applicationId=a", Err(Ambiguous)),
            ("?applicationId=b&applicationId=a", Err(Ambiguous)),
            ("applicationId=a&%2561pplicationId=b", Err(Ambiguous)),
            ("applicationId=a&%c1%a1pplicationId=b", Err(Ambiguous)),
            ("applicationId=a&%u0061pplicationId=b", Err(Ambiguous)),
            ("applicationId=a&%", Err(Ambiguous)),
            ("applicationId=a&&x=%zz&x=[applicationId]&=applicationId", Ok(Some("a"))),
            ("applicationId=a&application_id=b&applicationIds=b", Ok(Some("a"))),
        ] {
            assert_eq!(
                find_parameter(query, "applicationId"),
                expected.map(|value| value.map(Cow::Borrowed)),
                "{query}"
            );
        }
    }

    #[test]
    fn a_parameter_behind_a_hundred_others_may_not_be_read() {
        let behind = |pairs: usize| format!("{}applicationId=a", "x&".repeat(pairs));
        assert_eq!(find_parameter(&behind(99), "applicationId"), Ok(Some(Cow::Borrowed("a"))));
        assert_eq!(find_parameter(&behind(100), "applicationId"), Err(Ambiguous));
        assert_eq!(find_parameter(&"x&".repeat(4000), "applicationId"), Ok(None));
    }

    #[test]
    fn a_name_that_php_turns_into_another_is_that_other() {
        for query in
            ["task.id=a", "task+id=a", "task%5Bid=a", "task[id=a", "TA%C5%BFK_ID=a", "task_id%00x=a", "task.id[]=a"]
        {
            assert_eq!(find_parameter(query, "task_id"), Err(Ambiguous), "{query}");
        }
        for query in ["task-id=a", "taskid=a", "task=a", "task[]=a"] {
            assert_eq!(find_parameter(query, "task_id"), Ok(None), "{query}");
        }
    }
}
