use crate::{
    config::{
        cursor::{At, Written},
        problem::{Place, Problems, show},
        suggest::unknown,
    },
    policy::MethodPattern,
};

/// The methods that routes may name.
pub(super) struct Methods {
    declared: Vec<String>,
}

/// `methods`: those in use here that are in no registry.
pub(super) fn check(written: Written<Vec<At<String>>>, problems: &mut Problems) -> Methods {
    let mut declared = Vec::new();
    for At { place, value } in written.given().map(|at| at.value).unwrap_or_default() {
        match MethodPattern::parse(&value) {
            Ok(MethodPattern::One(_)) if REFUSED.contains(&value.as_str()) => refuse(&value, place, problems),
            Ok(MethodPattern::One(_)) => declared.push(value),
            Ok(MethodPattern::Any) | Err(_) => {
                problems.push(place, format!("{} is no HTTP method: 1 to 32 of `A-Z -`", show(&value)));
            }
        }
    }
    Methods { declared }
}

impl Methods {
    /// Tells a method that no request will have: most likely it is misspelt.
    pub(super) fn refuse_unknown(&self, method: &MethodPattern, place: Place, problems: &mut Problems) {
        let MethodPattern::One(method) = method else { return };
        let name = method.as_str();
        if REFUSED.contains(&name) {
            return refuse(name, place, problems);
        }
        let declared = self.declared.iter().map(String::as_str);
        let known = REGISTERED.into_iter().chain(declared);
        if !known.clone().any(|known| known == name) {
            let what = unknown("method", name, known);
            problems.push(place, format!("{what} (one that no registry has is declared: `methods: [{name}]`)"));
        }
    }
}

fn refuse(name: &str, place: Place, problems: &mut Problems) {
    problems.push(place, format!("`{name}` is a method that the gateway answers with 405: no request has it here"));
}

/// The Hypertext Transfer Protocol (HTTP) Method Registry of IANA, without those below.
const REGISTERED: [&str; 37] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// `PRI` is how HTTP/2 begins.
const REFUSED: [&str; 3] = ["CONNECT", "PRI", "TRACE"];
