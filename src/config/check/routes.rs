use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{application, cors::Policies, methods::Methods, mint, rates, scopes::Scopes, stream};
use crate::{
    config::{
        Protocol, Upstream,
        cursor::{At, Written},
        problem::{Place, Problems, show},
        raw,
        suggest::unknown,
    },
    domain::ScopeSet,
    policy::{
        Access, Common, EncodedDelimiters, Enforcement, LetterCase, MethodPattern, PathPattern, Repetition, Route,
        RouteConflict, RouteId, RouteTable, TokenForwarding, UpstreamId,
    },
};

/// The gateway's own paths; no route can have one of them, or what is one of them to a server that folds.
const OWN_ENDPOINTS: [&str; 16] = [
    "/oauth2/token",
    "/oauth2/userinfo",
    "/oauth2/revoke",
    "/oauth2/introspect",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-protected-resource",
    "/v1/oauth2/token",
    "/v1/oauth2/userinfo",
    "/v1/oauth2/revoke",
    "/v1/oauth2/introspect",
    "/v1/.well-known/jwks.json",
    "/v1/.well-known/oauth-authorization-server",
    "/v1/.well-known/openid-configuration",
    "/v1/.well-known/oauth-protected-resource",
];

/// What routes refer to.
pub(super) struct Names<'a> {
    pub(super) upstreams: &'a [Arc<str>],
    /// What is spoken with those of them that are sound.
    pub(super) checked: &'a [Upstream],
    pub(super) scopes: &'a Scopes,
    pub(super) cors: &'a Policies,
    pub(super) methods: &'a Methods,
}

impl Names<'_> {
    fn upstream(&self, id: UpstreamId) -> Option<&Upstream> {
        let name = self.upstreams.get(id.place())?;
        self.checked.iter().find(|checked| checked.name == *name)
    }

    fn protocol(&self, id: UpstreamId) -> Option<Protocol> {
        self.upstream(id).map(|upstream| upstream.protocol)
    }

    fn letter_case(&self, id: UpstreamId) -> LetterCase {
        self.upstream(id).map(|upstream| upstream.letter_case).unwrap_or_default()
    }
}

pub(super) fn check(routes: Option<At<Vec<At<raw::Route>>>>, names: &Names, problems: &mut Problems) -> RouteTable {
    let mut ids = HashMap::new();
    let mut places = Vec::new();
    let mut checked = Vec::new();
    for (at, route) in routes.map(|at| at.value).unwrap_or_default().into_iter().enumerate() {
        places.push(route.value.pattern.as_ref().map_or(route.place, |pattern| pattern.place));
        check_id(&route.value, &mut ids, problems);
        checked.extend(check_one(RouteId::new(at), route, names, problems));
    }
    RouteTable::new(checked, &OWN_ENDPOINTS).unwrap_or_else(|conflicts| {
        refuse_conflicts(&conflicts, &places, problems);
        RouteTable::default()
    })
}

fn check_one(
    id: RouteId,
    route: At<raw::Route>,
    names: &Names,
    problems: &mut Problems,
) -> Option<(MethodPattern, PathPattern, Route)> {
    let At { place, value } = route;
    let raw::Route {
        pattern: written,
        id: name,
        scope,
        public,
        enforce,
        application_id,
        upstream,
        forward_token,
        idempotent,
        encoded,
        rate,
        burst,
        timeouts,
        upgrade,
        close_on_expiry,
        cors,
        session_token,
    } = value;
    let pattern = written.as_ref().and_then(|written| check_pattern(written, names.methods, problems));
    let binding = Binding { stated: !application_id.is_absent(), place: scope_place(&scope) };
    let application = application::check(application_id, pattern.as_ref().map(|(_, path)| path), problems);
    let access = check_access(place, public, scope, names.scopes, problems);
    binding.check(access, names.scopes, problems);
    let mint = mint::check(session_token, access, problems);
    let enforcement = check_enforcement(enforce, problems);
    let upstream = check_upstream(place, upstream, names.upstreams, problems);
    let (token, repetition) = (forwarding(&forward_token), repetition(&idempotent));
    stream::check_protocol(&upgrade, names.protocol(upstream), problems);
    let stream = stream::check(timeouts, upgrade, close_on_expiry, access, problems);
    let cors = names.cors.of_route(cors, problems);
    let rate = rates::with_burst(rate, burst, problems);
    // Everything has been looked at; a route without a pattern ends here.
    let (method, path) = pattern?;
    let name = name.given().or(written)?.value.into();
    let route = Route {
        id,
        name,
        access,
        enforcement,
        application,
        token,
        mint,
        stream,
        cors,
        rate,
        upstream,
        repetition,
        encoded: check_encoded(encoded, problems),
        letter_case: names.letter_case(upstream),
    };
    Some((method, path, route))
}

fn check_pattern(
    written: &At<String>,
    methods: &Methods,
    problems: &mut Problems,
) -> Option<(MethodPattern, PathPattern)> {
    let shown = show(&written.value);
    let parsed = PathPattern::parse(&written.value);
    let (method, path) = parsed.map_err(|error| problems.push(written.place, format!("{shown} {error}"))).ok()?;
    methods.refuse_unknown(&method, written.place, problems);
    if let Some(own) = OWN_ENDPOINTS.iter().find(|own| path.is_alike(own)) {
        let path = show(written.value.split_once(' ').map_or("", |(_, path)| path));
        let message = if path == show(own) {
            format!("{path} is one of the gateway's own endpoints: no request reaches this route")
        } else {
            format!("{path} is to many servers the same path as `{own}`, one of the gateway's own endpoints")
        };
        problems.push(written.place, message);
    }
    Some((method, path))
}

/// Ids are label values of metrics, so each stands for one route. Two equal defaults are two equal matches, told as such.
fn check_id(route: &raw::Route, ids: &mut HashMap<String, (Place, IdOrigin)>, problems: &mut Problems) {
    let (written, origin) = match (&route.id, &route.pattern) {
        (Written::Is(id), _) => (id, IdOrigin::Stated),
        (Written::Absent, Some(pattern)) => (pattern, IdOrigin::Match),
        (Written::Absent, None) | (Written::Broken, _) => return,
    };
    let id = &written.value;
    if id.is_empty() || id.len() > 128 || !id.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        let advice = match origin {
            IdOrigin::Stated => "an `id` must be 1 to 128 printable ASCII characters",
            IdOrigin::Match => "this `match` cannot serve as id (1 to 128 printable ASCII characters); add an `id`",
        };
        problems.push(written.place, advice);
        return;
    }
    match ids.get(id) {
        Some((_, IdOrigin::Match)) if origin == IdOrigin::Match => {}
        Some((first, _)) => {
            problems.push(written.place, format!("id {} is taken by the route in line {}", show(id), first.line));
        }
        None => {
            ids.insert(id.clone(), (written.place, origin));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IdOrigin {
    Stated,
    Match,
}

fn check_access(
    place: Place,
    public: Written<bool>,
    scope: Written<Vec<At<String>>>,
    scopes: &Scopes,
    problems: &mut Problems,
) -> Access {
    let told = matches!(public, Written::Broken) || matches!(scope, Written::Broken);
    match (public.given(), scope.given()) {
        (Some(At { place, value: true }), Some(_)) => {
            problems.push(place, "`public: true` and `scope` exclude each other");
            Access::Public
        }
        (Some(At { value: true, .. }), None) => Access::Public,
        (_, Some(written)) => Access::AnyOf(check_scope(&written, scopes, problems)),
        (_, None) => {
            if !told {
                problems.push(
                    place,
                    "a route says who may use it: add `scope`, or `public: true` (silence about access is an error)",
                );
            }
            Access::AnyOf(ScopeSet::EMPTY)
        }
    }
}

fn check_scope(written: &At<Vec<At<String>>>, scopes: &Scopes, problems: &mut Problems) -> ScopeSet {
    for name in &written.value {
        scopes.refuse_unknown(name, problems);
    }
    let known = written.value.iter().filter_map(|name| scopes.catalogue.find(&name.value));
    known.fold(ScopeSet::EMPTY, ScopeSet::union)
}

/// Whether a route says where its requests name their application, and where its scopes stand.
struct Binding {
    stated: bool,
    place: Option<Place>,
}

impl Binding {
    /// A bound scope grants nothing on a route that cannot tell applications apart.
    fn check(&self, access: Access, scopes: &Scopes, problems: &mut Problems) {
        let (Access::AnyOf(set), Some(place), false) = (access, self.place, self.stated) else {
            return;
        };
        let bound = set.intersection(scopes.catalogue.bound());
        if let Some(name) = scopes.catalogue.names(bound).next() {
            problems.push(
                place,
                format!("`{name}` is bound to one application: add `application_id` to say where requests name it"),
            );
        }
    }
}

fn scope_place(scope: &Written<Vec<At<String>>>) -> Option<Place> {
    match scope {
        Written::Is(at) => Some(at.place),
        Written::Absent | Written::Broken => None,
    }
}

fn forwarding(written: &Written<bool>) -> TokenForwarding {
    match written {
        Written::Is(At { value: true, .. }) => TokenForwarding::Forward,
        Written::Is(At { value: false, .. }) | Written::Absent | Written::Broken => TokenForwarding::Remove,
    }
}

fn repetition(written: &Written<bool>) -> Repetition {
    match written {
        Written::Is(At { value: true, .. }) => Repetition::Harmless,
        Written::Is(At { value: false, .. }) | Written::Absent | Written::Broken => Repetition::ByMethod,
    }
}

fn check_encoded(written: Written<String>, problems: &mut Problems) -> EncodedDelimiters {
    let Some(At { place, value }) = written.given() else {
        return EncodedDelimiters::Refused;
    };
    match value.as_str() {
        "refused" => EncodedDelimiters::Refused,
        "allowed" => EncodedDelimiters::Allowed,
        other => {
            problems.push(place, unknown("value of `encoded`", other, ["refused", "allowed"]));
            EncodedDelimiters::Refused
        }
    }
}

fn check_enforcement(written: Written<String>, problems: &mut Problems) -> Enforcement {
    let Some(At { place, value }) = written.given() else {
        return Enforcement::Enforce;
    };
    match value.as_str() {
        "enforce" => Enforcement::Enforce,
        "report" => Enforcement::Report,
        other => {
            problems.push(place, unknown("enforcement", other, ["enforce", "report"]));
            Enforcement::Enforce
        }
    }
}

fn check_upstream(route: Place, written: Written<String>, names: &[Arc<str>], problems: &mut Problems) -> UpstreamId {
    let absent = written.is_absent();
    let Some(At { place, value }) = written.given() else {
        if absent && names.len() > 1 {
            problems.push(route, format!("a route must name its `upstream`, since there are {}", names.len()));
        }
        return UpstreamId::new(0);
    };
    let found = names.iter().position(|name| **name == *value);
    if found.is_none() {
        problems.push(place, unknown("upstream", &value, names.iter().map(|name| &**name)));
    }
    UpstreamId::new(found.unwrap_or(0))
}

/// One problem for each route that repeats an earlier one.
fn refuse_conflicts(conflicts: &[RouteConflict], places: &[Place], problems: &mut Problems) {
    let mut told = HashSet::new();
    for RouteConflict { first, second, common } in conflicts {
        if !told.insert(second.place()) {
            continue;
        }
        let line = places[first.place()].line;
        let message = match common {
            Common::Matches => format!("some requests match this route and the one in line {line} equally well"),
            Common::Folded => format!(
                "to many servers this route and the one in line {line} are one: they differ only in letter case, a \
                 spelling or what ends a segment; remove one, or set `case: sensitive` on an upstream that tells letters apart"
            ),
            Common::FinalSlash => format!(
                "to many servers this route and the one in line {line} are one: they differ only in a final slash; \
                 ask the same of callers on both, or remove one"
            ),
        };
        problems.push(places[second.place()], message);
    }
}
