use std::borrow::Cow;

use super::{json::Ambiguous, path::percent_decode};

/// The value of parameter `name` in `query`, `None` if it does not stand there.
///
/// It must stand once, in pairs separated by `&` alone; no other name may equal it after decoding, ignoring ASCII case
/// or with `[]` behind it; both sides are decoded once (`+` is a space).
pub(super) fn find_parameter<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, str>>, Ambiguous> {
    if query.contains(';') {
        return Err(Ambiguous);
    }
    let mut found = None;
    for pair in query.split('&') {
        let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
        let own = decode_form(own).ok_or(Ambiguous)?;
        let plain = own.split_once('[').map_or(&*own, |(before, _)| before);
        if !plain.trim().eq_ignore_ascii_case(name) {
            continue;
        }
        if found.is_some() || own != name {
            return Err(Ambiguous);
        }
        found = Some(decode_form(value).ok_or(Ambiguous)?);
    }
    Ok(found)
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
}
