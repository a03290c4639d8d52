//! Vectors and their tags, compared with what we say and with the list of exceptions.

use crate::verdict::Refusal;

/// One vector and what became of it.
pub struct Vector {
    pub id: String,
    /// Key and token.
    pub input: String,
    pub tag: Tag,
    pub seen: Result<(), Refusal>,
}

/// What its authors say of a vector.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    Valid,
    Invalid,
}

/// One row of the list.
struct Exception {
    source: String,
    id: String,
    /// What we refuse it as; or, of a tag that contradicts another one, `same_as:` and the other's ID.
    code: String,
}

const LIST: &str = include_str!("exceptions.txt");
const SOURCES: [&str; 5] = [
    "json_web_signature_test",
    "json_web_key_test",
    "json_web_crypto_test",
    "rfc7515_rfc7517_rfc8037",
    "rfc7520-cookbook",
];

/// The rows of a text: `source | id | code | why`, and comments.
fn parse(text: &str) -> Vec<Exception> {
    let rows = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    rows.map(|line| {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [source, id, code, why] = columns[..] else { panic!("not four columns: {line}") };
        assert!(why.len() > 20, "no reason: {line}");
        Exception { source: source.into(), id: id.into(), code: code.into() }
    })
    .collect()
}

/// Fails unless every vector of `source` is treated as its tag says, or as a row of the list says.
#[track_caller]
pub fn assert_held(source: &str, least: usize, vectors: &[Vector]) {
    let accepted = vectors.iter().filter(|vector| vector.seen.is_ok()).count();
    println!("{source}: {} vectors, {accepted} accepted, {} refused", vectors.len(), vectors.len() - accepted);
    assert!(vectors.len() >= least, "{} vectors of {source} ran, {least} are known", vectors.len());
    let rows = parse(LIST).into_iter().filter(|row| row.source == source).collect::<Vec<_>>();
    let problems = compare(vectors, &rows);
    assert!(problems.is_empty(), "{source}: {problems:#?}");
}

/// What does not hold.
fn compare(vectors: &[Vector], rows: &[Exception]) -> Vec<String> {
    let of_vectors = vectors.iter().filter_map(|vector| {
        let row = rows.iter().find(|row| row.id == vector.id).map(|row| row.code.as_str());
        problem(vector, row, vectors).map(|problem| format!("{}: {problem}", vector.id))
    });
    let of_rows = rows.iter().enumerate().filter_map(|(place, Exception { id, .. })| {
        let repeated = rows[..place].iter().any(|earlier| earlier.id == *id);
        match vectors.iter().filter(|vector| vector.id == *id).count() {
            1 if !repeated => None,
            1 => Some(format!("{id}: two rows")),
            count => Some(format!("{id}: the row names {count} vectors")),
        }
    });
    of_vectors.chain(of_rows).collect()
}

/// What is wrong with one vector, or with the row for it.
fn problem(vector: &Vector, row: Option<&str>, vectors: &[Vector]) -> Option<String> {
    match (vector.tag, &vector.seen, row) {
        (Tag::Valid, Ok(()), None) | (Tag::Invalid, Err(_), None) => None,
        (Tag::Invalid, Ok(()), Some(row)) if is_contradiction(vector, row, vectors) => None,
        // No other row can excuse it.
        (Tag::Invalid, Ok(()), _) => Some("ACCEPTED, and is invalid".to_owned()),
        (Tag::Valid, Ok(()), Some(_)) | (Tag::Invalid, Err(_), Some(_)) => Some("its row is not needed".to_owned()),
        (Tag::Valid, Err(refusal), None) => Some(format!("refused ({refusal}, {refusal:?}), and is valid")),
        (Tag::Valid, Err(refusal), Some(row)) => {
            (refusal.to_string() != row).then(|| format!("refused as {refusal}, not as {row}"))
        }
    }
}

/// Whether the same input stands there as valid too.
fn is_contradiction(vector: &Vector, row: &str, vectors: &[Vector]) -> bool {
    let Some(other) = row.strip_prefix("same_as:") else { return false };
    vectors.iter().any(|own| own.id == other && own.input == vector.input && own.tag == Tag::Valid)
}

#[test]
fn every_row_is_of_a_source_that_runs() {
    for row in parse(LIST) {
        assert!(SOURCES.contains(&row.source.as_str()), "{} {}", row.source, row.id);
    }
}

#[test]
fn the_comparison_sees_what_it_should() {
    use scopegate::domain::Reason;
    let (accepted, refused) = (Ok(()), Err(Refusal::Token(Reason::Signature)));
    for (what, tag, seen, rows, expected) in [
        ("valid and accepted", Tag::Valid, &accepted, "", 0),
        ("invalid and refused", Tag::Invalid, &refused, "", 0),
        ("a row is missing", Tag::Valid, &refused, "", 1),
        ("a row excuses", Tag::Valid, &refused, "s | 1 | signature | a reason of some length", 0),
        ("a row tells another code", Tag::Valid, &refused, "s | 1 | malformed | a reason of some length", 1),
        ("a row is no longer needed", Tag::Valid, &accepted, "s | 1 | signature | a reason of some length", 1),
        ("a row for what is refused anyway", Tag::Invalid, &refused, "s | 1 | signature | a reason of some length", 1),
        ("a false accept", Tag::Invalid, &accepted, "", 1),
        ("no row excuses a false accept", Tag::Invalid, &accepted, "s | 1 | signature | a reason of some length", 1),
        ("the other one is invalid", Tag::Invalid, &accepted, "s | 1 | same_as:1 | a reason of some length", 1),
        ("the other one has another input", Tag::Invalid, &accepted, "s | 1 | same_as:3 | a reason of some length", 1),
        ("the same is tagged valid", Tag::Invalid, &accepted, "s | 1 | same_as:2 | a reason of some length", 0),
        ("a row without vector", Tag::Valid, &accepted, "# all\n\ns | 4 | signature | a reason of some length", 1),
        ("two rows", Tag::Valid, &refused, &"s | 1 | signature | a reason of some length\n".repeat(2), 1),
    ] {
        let vector = |id: &str, input: &str, tag, seen: &Result<_, _>| Vector {
            id: id.into(),
            input: input.into(),
            tag,
            seen: seen.clone(),
        };
        let others = [vector("2", "key and token", Tag::Valid, &Ok(())), vector("3", "other", Tag::Valid, &Ok(()))];
        let vectors: Vec<Vector> = [vector("1", "key and token", tag, seen)].into_iter().chain(others).collect();
        let problems = compare(&vectors, &parse(rows));
        assert_eq!(problems.len(), expected, "{what}: {problems:?}");
    }
}
