use super::application::{json_pointer, told};
use crate::{
    config::{
        cursor::{At, Written},
        problem::{Problems, show},
        raw,
    },
    policy::{Access, JsonPointer, Mint, MintSource},
};

/// What a route puts into replies, and from where.
pub(super) fn check(written: Written<raw::SessionToken>, access: Access, problems: &mut Problems) -> Option<Mint> {
    let At { place, value: raw::SessionToken { application_id, workflow_id, redirect_url, into } } = written.given()?;
    if access == Access::Public {
        problems.push(place, "`session_token` is signed for the caller, and a public route has none");
    }
    let application = application_id.and_then(|written| told(&written, source, problems));
    let workflow = workflow_id.and_then(|written| told(&written, source, problems));
    let redirect_url = redirect_url.and_then(|written| told(&written, source, problems));
    let place = into.as_ref().map(|into| into.place);
    let into = into.and_then(|written| told(&written, place_in_reply, problems));
    let mint = Mint { application: application?, workflow: workflow?, redirect_url: redirect_url?, into: into? };
    if let Some(place) = place.filter(|_| meets_a_source(&mint)) {
        problems.push(place, "`into` must stand apart from the members that the token is made from");
    }
    Some(mint)
}

fn source(text: &str) -> Result<MintSource, String> {
    match text.strip_prefix(REQUEST) {
        Some(pointer) => json_pointer(pointer).map(MintSource::Request),
        None => json_pointer(text).map(MintSource::Reply),
    }
}

fn place_in_reply(text: &str) -> Result<JsonPointer, String> {
    if text.starts_with(REQUEST) {
        return Err(format!("`into` is a place in the reply; {} is none", show(text)));
    }
    json_pointer(text)
}

/// Whether the token would replace what it is made from, or belongs into what must be a text.
fn meets_a_source(mint: &Mint) -> bool {
    let meets = |source: &MintSource| match source {
        MintSource::Reply(pointer) => mint.into.holds(pointer) || pointer.holds(&mint.into),
        MintSource::Request(_) => false,
    };
    [&mint.application, &mint.workflow, &mint.redirect_url].into_iter().any(meets)
}

/// What stands before a pointer into the request.
const REQUEST: &str = "request:";
