use super::problem::show;

/// `unknown key ‹name›`, with the nearest known name or, if none is near, all of them.
pub(super) fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let shown = show(name);
    if let Some(nearest) = nearest(name, known.clone()) {
        return format!("unknown {what} {shown}; did you mean `{nearest}`?");
    }
    let known: Vec<String> = known.into_iter().take(MOST_LISTED + 1).map(show).collect();
    if known.is_empty() || known.len() > MOST_LISTED {
        return format!("unknown {what} {shown}");
    }
    format!("unknown {what} {shown}; known here: {}", known.join(", "))
}

/// The known name that takes the fewest single-character edits: at most a third of it, or one edit of a short one.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST_COMPARED {
        return None;
    }
    let near = |known: &&'a str| {
        let edits = distance(name, known);
        let length = known.chars().count();
        (edits <= (length / 3).max(1) && edits < length).then_some(edits)
    };
    let candidates = known.into_iter().filter(|known| known.len() <= LONGEST_COMPARED);
    candidates.filter_map(|known| near(&known).map(|edits| (edits, known))).min().map(|(_, known)| known)
}

/// Insertions, deletions, replacements and swaps of neighbours between the two, case not counted.
fn distance(one: &str, two: &str) -> usize {
    let one: Vec<char> = one.chars().flat_map(char::to_lowercase).collect();
    let two: Vec<char> = two.chars().flat_map(char::to_lowercase).collect();
    let mut before = vec![0; two.len() + 1];
    let mut last: Vec<usize> = (0..=two.len()).collect();
    for (at, a) in one.iter().enumerate() {
        let mut row = vec![at + 1];
        for (to, b) in two.iter().enumerate() {
            let replaced = last[to] + usize::from(a != b);
            let mut best = replaced.min(last[to + 1] + 1).min(row[to] + 1);
            if at > 0 && to > 0 && *a == two[to - 1] && one[at - 1] == *b {
                best = best.min(before[to - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[two.len()]
}

const MOST_LISTED: usize = 16;
const LONGEST_COMPARED: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_name_is_suggested() {
        for (name, expected) in [
            ("routs", Some("routes")),
            ("ruotes", Some("routes")),
            ("Routes", Some("routes")),
            ("upstream", Some("upstreams")),
            ("tls", None),
            ("x", None),
            ("", None),
            ("\u{130}", None),
        ] {
            assert_eq!(nearest(name, ["routes", "upstreams", "scopes", "a"]), expected, "{name}");
        }
        assert_eq!(unknown("key", "x", ["address", "tls"]), "unknown key `x`; known here: `address`, `tls`");
    }
}
