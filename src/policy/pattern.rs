use http::Method;

use super::letters::bare;

/// Why a text is not a route pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Not of the form `METHOD /path`.
    #[error("is not of the form `METHOD /path`")]
    Form,
    /// Not a method in upper case, or `*`.
    #[error("starts with something that is no HTTP method (upper case) and not `*`")]
    Method,
    /// The path has more than one reading, or a query.
    #[error("has a path with an empty, dotted or percent-encoded segment, or characters that a path cannot hold")]
    Path,
    /// `*` not at the end of a segment, or `**` not as the whole last one.
    #[error("uses `*` other than at the end of a segment, or `**` other than as the last segment")]
    Star,
    /// `{…}` that is not a whole segment with a plain name, or a name used twice.
    #[error("uses `{{name}}` other than as a whole segment, or one name twice")]
    Name,
}

/// Which methods a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MethodPattern {
    /// Any method.
    Any,
    /// This one; `GET` also takes `HEAD` (RFC 9110 section 9.3.2).
    One(Method),
}

impl MethodPattern {
    /// Reads a method in upper case, or `*`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.is_empty() || text.len() > 32 || !text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Err(PatternError::Method);
        }
        Method::from_bytes(text.as_bytes()).map(Self::One).map_err(|_| PatternError::Method)
    }

    /// Whether a request with `method` is meant.
    pub fn matches(&self, method: &Method) -> bool {
        match self {
            Self::Any => true,
            Self::One(own) => own == method || (*own == Method::GET && *method == Method::HEAD),
        }
    }

    /// Whether some method is meant by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::One(one), Self::One(two)) => self.matches(two) || other.matches(one),
        }
    }
}

/// One segment of a [`PathPattern`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    /// These bytes.
    Literal(Box<str>),
    /// These bytes and at least one more.
    Prefix(Box<str>),
    /// Any bytes, at least one.
    Name(Box<str>),
}

/// A path pattern: literal segments, `*` for the rest of a segment, `{name}` for a whole one, a final `/**` for any rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    pub(super) segments: Vec<Segment>,
    pub(super) rest: Rest,
}

/// What may follow the segments of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rest {
    /// Nothing.
    None,
    /// `/` and anything.
    Any,
}

impl PathPattern {
    /// Reads `METHOD /path`.
    pub fn parse(text: &str) -> Result<(MethodPattern, Self), PatternError> {
        let (method, path) = text.split_once(' ').ok_or(PatternError::Form)?;
        let method = MethodPattern::parse(method)?;
        let path = path.strip_prefix('/').ok_or(PatternError::Form)?;
        let (path, rest) = match path.strip_suffix("/**") {
            Some(before) => (Some(before), Rest::Any),
            None if path == "**" => (None, Rest::Any),
            None => (Some(path), Rest::None),
        };
        let segments = match path {
            Some(path) => parse_segments(path, rest)?,
            None => Vec::new(),
        };
        Ok((method, Self { segments, rest }))
    }

    /// The place of the segment called `{name}`.
    pub fn named_segment(&self, name: &str) -> Option<usize> {
        let is_named = |segment: &Segment| matches!(segment, Segment::Name(own) if **own == *name);
        self.segments.iter().position(is_named)
    }

    /// A pattern of literal segments; `path` begins with `/`.
    pub(super) fn literal(path: &str) -> Self {
        let segments = path[1..].split('/').map(|text| Segment::Literal(text.into())).collect();
        Self { segments, rest: Rest::None }
    }

    /// Its segments without an empty last one.
    pub(super) fn without_final_slash(&self) -> &[Segment] {
        match self.segments.split_last() {
            Some((Segment::Literal(last), before)) if last.is_empty() => before,
            _ => &self.segments,
        }
    }

    /// Whether only one path is meant.
    pub(super) fn is_exact(&self) -> bool {
        self.rest == Rest::None && self.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)))
    }

    /// Bytes of the path that are given literally: the measure of precedence.
    pub(super) fn literal_length(&self) -> usize {
        let literal = |segment: &Segment| match segment {
            Segment::Literal(text) | Segment::Prefix(text) => text.len(),
            Segment::Name(_) => 0,
        };
        self.segments.iter().map(|segment| 1 + literal(segment)).sum()
    }

    /// Whether some path is meant by both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let shared = self.segments.len().min(other.segments.len());
        let alike = self.segments[..shared].iter().zip(&other.segments[..shared]).all(|(one, two)| one.overlaps(two));
        alike
            && match self.segments.len().cmp(&other.segments.len()) {
                std::cmp::Ordering::Equal => self.rest == other.rest,
                std::cmp::Ordering::Less => self.rest == Rest::Any,
                std::cmp::Ordering::Greater => other.rest == Rest::Any,
            }
    }
}

impl Segment {
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), Self::Literal(two)) => one == two,
            (Self::Literal(text), Self::Prefix(prefix)) | (Self::Prefix(prefix), Self::Literal(text)) => {
                text.len() > prefix.len() && text.starts_with(&**prefix)
            }
            (Self::Prefix(one), Self::Prefix(two)) => one.starts_with(&**two) || two.starts_with(&**one),
            (Self::Name(_), _) | (_, Self::Name(_)) => true,
        }
    }
}

fn parse_segments(path: &str, rest: Rest) -> Result<Vec<Segment>, PatternError> {
    let texts: Vec<&str> = path.split('/').collect();
    let last = texts.len() - 1;
    let mut segments = Vec::with_capacity(texts.len());
    for (place, text) in texts.into_iter().enumerate() {
        let may_be_empty = place == last && rest == Rest::None;
        let segment = parse_segment(text, may_be_empty)?;
        if matches!(segment, Segment::Name(_)) && segments.contains(&segment) {
            return Err(PatternError::Name);
        }
        segments.push(segment);
    }
    Ok(segments)
}

fn parse_segment(text: &str, may_be_empty: bool) -> Result<Segment, PatternError> {
    if text.contains(['{', '}']) {
        let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or(PatternError::Name)?;
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        return if plain { Ok(Segment::Name(name.into())) } else { Err(PatternError::Name) };
    }
    let (literal, starred) = text.strip_suffix('*').map_or((text, false), |literal| (literal, true));
    if literal.contains('*') {
        return Err(PatternError::Star);
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()+,=:@".contains(&byte);
    let never_matches = !literal.is_empty() && !starred && bare(literal).is_empty();
    if !literal.bytes().all(allowed) || never_matches {
        return Err(PatternError::Path);
    }
    match (literal.is_empty(), starred) {
        (true, false) if !may_be_empty => Err(PatternError::Path),
        (_, true) => Ok(Segment::Prefix(literal.into())),
        (_, false) => Ok(Segment::Literal(literal.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_could_be_read_twice_are_refused() {
        for (text, expected) in [
            ("GET", PatternError::Form),
            ("GET x", PatternError::Form),
            ("get /x", PatternError::Method),
            ("/x", PatternError::Form),
            ("GET /x y", PatternError::Path),
            ("GET //x", PatternError::Path),
            ("GET /x//y", PatternError::Path),
            ("GET /./x", PatternError::Path),
            ("GET /x/..", PatternError::Path),
            ("GET /x/...", PatternError::Path),
            ("GET /x/::$DATA", PatternError::Path),
            ("GET /%41", PatternError::Path),
            ("GET /x?y", PatternError::Path),
            ("GET /x;y", PatternError::Path),
            ("GET /x*y", PatternError::Star),
            ("GET /**/x", PatternError::Star),
            ("GET /x**", PatternError::Star),
            ("GET /{}", PatternError::Name),
            ("GET /{a}b", PatternError::Name),
            ("GET /{a}/{a}", PatternError::Name),
            ("GET /{a-b}", PatternError::Name),
        ] {
            assert_eq!(PathPattern::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn patterns_of_the_manual_are_read() {
        for text in [
            "POST /v1/applications.create",
            "POST /v1/applications.*",
            "GET /v1/applications/{application_id}/**",
            "* /",
            "* /**",
            "GET /a/",
        ] {
            assert!(PathPattern::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn overlap_is_seen_between_any_two_kinds_of_pattern() {
        for (one, two, expected) in [
            ("* /a", "* /a", true),
            ("* /a", "* /b", false),
            ("* /a/b", "* /a/*", true),
            ("* /a/", "* /a/*", false),
            ("* /a/x*", "* /a/xy*", true),
            ("* /a/x*", "* /a/y*", false),
            ("* /a/{n}", "* /a/y*", true),
            ("* /a/{n}/c", "* /a/{m}", false),
            ("* /a/**", "* /a/b/c", true),
            ("* /a/**", "* /a", false),
            ("* /a/**", "* /b/**", false),
            ("* /**", "* /b/**", true),
        ] {
            let parse = |text| PathPattern::parse(text).unwrap().1;
            assert_eq!(parse(one).overlaps(&parse(two)), expected, "{one} and {two}");
            assert_eq!(parse(two).overlaps(&parse(one)), expected, "{two} and {one}");
        }
    }
}
