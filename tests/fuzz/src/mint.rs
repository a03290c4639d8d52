use scopegate::policy::{JsonPointer, Unminted, put_string};

use super::{
    fold::FOLDS,
    json::{Found, Kind, Node, find, read},
};

const POINTERS: [(&str, &[&str]); 3] =
    [("/token", &["token"]), ("/data/token", &["data", "token"]), ("/task/data/\"~0", &["task", "data", "\"~"])];
const TEXT: &str = "a.b-c_\"\\\u{e9}\u{1}";
const WRITTEN: &str = "\"a.b-c_\\\"\\\\\u{e9}\\u0001\"";

/// A member put into a document changes no other byte of it, and stands where every parser finds it. A second time it
/// changes nothing.
pub fn mint(data: &[u8]) {
    let document = read(data);
    for (pointer, names) in POINTERS {
        let parsed = JsonPointer::parse(pointer).expect("a pointer");
        let put = put_string(data, &parsed, TEXT);
        let expected =
            |fold| document.as_ref().map_or(Err(Unminted::Ambiguous), |root| expected(data, root, names, fold));
        match &put {
            Ok(put) => {
                for fold in FOLDS {
                    assert_eq!(expected(fold).as_ref(), Ok(put));
                }
                assert_eq!(put_string(put, &parsed, TEXT).as_ref(), Ok(put));
            }
            Err(reason) => {
                let told = FOLDS.iter().any(|fold| expected(*fold) == Err(*reason));
                assert!(told, "{pointer} is refused for no reason: {reason:?}");
            }
        }
    }
}

/// What becomes of `data`, put together from the places that the second reader tells.
fn expected(data: &[u8], root: &Node, names: &[&str], fold: fn(&str) -> String) -> Result<Vec<u8>, Unminted> {
    let Kind::Object(_) = root.kind else { return Err(Unminted::Ambiguous) };
    let (name, parents) = names.split_last().expect("a pointer has a name");
    let mut parent = root;
    for name in parents {
        parent = match find(parent, &[name], fold) {
            Found::One(node) if matches!(node.kind, Kind::Object(_)) => node,
            Found::One(_) | Found::Nothing => return Err(Unminted::NoPlace),
            Found::Ambiguous => return Err(Unminted::Ambiguous),
        };
    }
    match find(parent, &[name], fold) {
        Found::One(old) => Ok([&data[..old.start], WRITTEN.as_bytes(), &data[old.end..]].concat()),
        Found::Ambiguous => Err(Unminted::Ambiguous),
        Found::Nothing => {
            let (before, after) = data.split_at(parent.start + 1);
            let comma = if matches!(&parent.kind, Kind::Object(members) if members.is_empty()) { "" } else { "," };
            let member = format!("\"{}\":{WRITTEN}{comma}", name.replace('"', "\\\""));
            Ok([before, member.as_bytes(), after].concat())
        }
    }
}
