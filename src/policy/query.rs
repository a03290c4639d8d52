use std::borrow::Cow;

use super::{json::Ambiguous, name::is_alike, path::percent_decode};

/// The value of parameter `name` in `query`, `None` if it does not stand there.
///
/// It must stand once, in pairs separated by `&` alone; no other name may stand for it after decoding, ignoring case,
/// with `[]` behind it, or as PHP stores names; both sides are decoded once (`+` is a space).
pub(super) fn find_parameter<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, str>>, Ambiguous> {
    if query.contains(';') {
        return Err(Ambiguous);
    }
    let mut found = None;
    for pair in query.split('&') {
        let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
        let own = decode_form(own).ok_or(Ambiguous)?;
        if !stands_for(&own, name) {
            continue;
        }
        if found.is_some() || own != name {
            return Err(Ambiguous);
        }
        found = Some(decode_form(value).ok_or(Ambiguous)?);
    }
    Ok(found)
}

/// Whether some framework stores the parameter `own` under `name`: without case, without what stands in brackets, or in
/// PHP up to a zero byte and with `_` in place of what no variable is called.
fn stands_for(own: &str, name: &str) -> bool {
    let as_variable = |text: &str| text.trim().replace(['.', ' ', '['], "_");
    let before = |end: char| own.split(end).next().unwrap_or_default();
    is_alike(before('[').trim(), name)
        || is_alike(&as_variable(before('\0')), &as_variable(name))
        || is_alike(&as_variable(before('[')), &as_variable(name))
}

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
        ] {
            assert_eq!(
                find_parameter(query, "applicationId"),
                expected.map(|value| value.map(Cow::Borrowed)),
                "{query}"
            );
        }
    }

    #[test]
    fn a_name_that_php_turns_into_another_is_that_other() {
        for query in
            ["task.id=a", "task+id=a", "task%5Bid=a", "task[id=a", "TA%C5%BFK_ID=a", "task_id%00x=a", "task.id[]=a"]
        {
            assert_eq!(find_parameter(query, "task_id"), Err(Ambiguous), "{query}");
        }
        for query in ["task-id=a", "taskid=a", "task=a", "task[]=a", "x[task_id]=a"] {
            assert_eq!(find_parameter(query, "task_id"), Ok(None), "{query}");
        }
    }
}
