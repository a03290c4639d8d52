//! Other issuers. Keys and secrets are read here, so that a file that is missing or no key is told with its line.

use std::{net::IpAddr, sync::Arc, time::Duration};

use url::{Host, Url};

use super::{Surroundings, bounds::within, introspection, scopes::Scopes, store};
use crate::{
    config::{
        Issuer, KeySetPlace, RemoteKeys, SecretSource, TrustedIssuer, TrustedKeys,
        cursor::{At, Written},
        problem::{Place, Problems, show},
        raw,
        suggest::unknown,
    },
    domain::{IssuerId, ScopeSet},
    token::{Audiences, ClaimNames, Expectations, JwsAlgorithm, KeyKind, VerifyingKey, parse_key_set, parse_pem},
};

/// What entries refer to.
pub(super) struct Context<'a> {
    pub(super) own: &'a Issuer,
    pub(super) scopes: &'a Scopes,
    pub(super) surroundings: &'a Surroundings<'a>,
}

pub(super) fn check(
    entries: Written<Vec<At<raw::Trust>>>,
    context: &Context,
    problems: &mut Problems,
) -> Vec<TrustedIssuer> {
    let entries = entries.given().map(|at| at.value).unwrap_or_default();
    if let Some(beyond) = entries.get(MOST_ENTRIES) {
        problems.push(beyond.place, format!("`trust` may have {MOST_ENTRIES} entries"));
    }
    refuse_repeated(&entries, context.own, problems);
    let numbered = (0..).zip(entries);
    numbered.filter_map(|(place, entry)| check_one(IssuerId::trusted(place), entry, context, problems)).collect()
}

/// A token is tried against the one entry that its `iss` names, and one that names none against the one that is asked.
fn refuse_repeated(entries: &[At<raw::Trust>], own: &Issuer, problems: &mut Problems) {
    let names: Vec<_> = entries.iter().filter_map(|entry| entry.value.issuer.as_ref()).collect();
    for (at, name) in names.iter().enumerate() {
        if name.value == own.url {
            problems.push(name.place, "this is our own issuer, whose tokens are accepted anyway");
        }
        if let Some(first) = names[..at].iter().find(|first| first.value == name.value) {
            problems.push(name.place, format!("this issuer has an entry in line {} already", first.place.line));
        }
    }
    let asked = entries.iter().filter_map(|entry| match &entry.value.introspection {
        Written::Is(at) => Some(at.place),
        Written::Absent | Written::Broken => None,
    });
    let asked: Vec<Place> = asked.collect();
    for second in asked.iter().skip(1) {
        let message = format!("only one entry can be asked about tokens that name nobody; line {} is", asked[0].line);
        problems.push(*second, message);
    }
}

fn check_one(id: IssuerId, entry: At<raw::Trust>, context: &Context, problems: &mut Problems) -> Option<TrustedIssuer> {
    let At { place, value } = entry;
    let raw::Trust {
        issuer,
        key_set,
        discovery,
        pem,
        secret,
        introspection,
        algorithms,
        audience,
        scopes,
        claims,
        clock_skew,
        max_lifetime,
        ca,
        refresh,
        stale,
    } = value;
    let name = issuer.as_ref().and_then(|issuer| issuer_name(issuer, problems));
    let source = one_source(place, key_set, discovery, pem, secret, introspection, problems);
    let asked = matches!(source, Some(WrittenSource::Introspection(_)));
    let algorithms = check_algorithms(place, algorithms, source.as_ref(), problems);
    let rules = Expectations {
        issuer: id,
        audiences: audiences(audience, asked, context.own, problems),
        clock_skew: skew(clock_skew, context.own, problems),
        longest_life: Some(longest_life(max_lifetime, problems)),
        catalogue: Arc::clone(&context.scopes.catalogue),
        ceiling: ceiling(scopes, context.scopes, problems),
        claims: claim_names(claims.or_empty(), problems),
    };
    let remote = Remote { ca, refresh, stale };
    let keys = check_source(source?, issuer.as_ref(), &algorithms, remote, context, problems);
    Some(TrustedIssuer { name: name?, rules, keys: keys? })
}

/// An `iss` is any text (RFC 7519 section 4.1.1); white space in it is a slip of the pen.
fn issuer_name(issuer: &At<String>, problems: &mut Problems) -> Option<String> {
    let text = &issuer.value;
    if text.is_empty() || text.len() > 512 || text.chars().any(|each| each.is_control() || each.is_whitespace()) {
        problems.push(issuer.place, "`issuer` must be 1 to 512 characters without white space");
        return None;
    }
    Some(text.clone())
}

/// Where an entry's keys come from, as written.
enum WrittenSource {
    KeySet(At<String>),
    Discovery(Place),
    Pem(At<Vec<At<String>>>),
    Secret(At<String>),
    Introspection(At<raw::Introspection>),
}

impl WrittenSource {
    /// Whether the gateway asks a server over the network.
    fn is_remote(&self) -> bool {
        match self {
            Self::KeySet(at) => !at.value.starts_with("file:"),
            Self::Discovery(_) | Self::Introspection(_) => true,
            Self::Pem(_) | Self::Secret(_) => false,
        }
    }
}

fn one_source(
    place: Place,
    key_set: Written<String>,
    discovery: Written<bool>,
    pem: Written<Vec<At<String>>>,
    secret: Written<String>,
    introspection: Written<raw::Introspection>,
    problems: &mut Problems,
) -> Option<WrittenSource> {
    let broken = matches!(key_set, Written::Broken)
        || matches!(discovery, Written::Broken)
        || matches!(pem, Written::Broken)
        || matches!(secret, Written::Broken)
        || matches!(introspection, Written::Broken);
    let found = [
        key_set.given().map(WrittenSource::KeySet),
        discovery.given().filter(|at| at.value).map(|at| WrittenSource::Discovery(at.place)),
        pem.given().map(WrittenSource::Pem),
        secret.given().map(WrittenSource::Secret),
        introspection.given().map(WrittenSource::Introspection),
    ];
    let mut found = found.into_iter().flatten();
    let source = found.next();
    let several = found.next().is_some();
    if several || (source.is_none() && !broken) {
        let message = "an issuer needs exactly one of `key_set`, `discovery: true`, `pem`, `secret`, `introspection`";
        problems.push(place, message);
        return None;
    }
    source
}

/// HMAC needs a secret, and whoever has a public key must not be able to use it as one (RFC 8725 section 2.1).
fn check_algorithms(
    place: Place,
    written: Written<Vec<At<String>>>,
    source: Option<&WrittenSource>,
    problems: &mut Problems,
) -> Vec<JwsAlgorithm> {
    let asked = matches!(source, Some(WrittenSource::Introspection(_)));
    let listed = match written {
        Written::Is(At { place, .. }) if asked => {
            problems.push(place, "`algorithms` has no meaning beside `introspection`: nothing is verified here");
            return Vec::new();
        }
        Written::Is(At { value, .. }) => value,
        Written::Absent if !asked && source.is_some() => {
            problems.push(place, "missing key `algorithms`");
            return Vec::new();
        }
        Written::Absent | Written::Broken => return Vec::new(),
    };
    let secret = matches!(source, Some(WrittenSource::Secret(_)));
    let mut known: Vec<JwsAlgorithm> = Vec::with_capacity(listed.len());
    for At { place, value } in listed {
        let Some(algorithm) = JwsAlgorithm::from_name(&value) else {
            problems.push(place, unknown("algorithm", &value, JwsAlgorithm::ALL.map(JwsAlgorithm::name)));
            continue;
        };
        match (secret, algorithm.key_kind() == KeyKind::Shared) {
            (true, false) => problems.push(place, format!("{algorithm} works with public keys, not with a `secret`")),
            (false, true) => problems.push(place, format!("{algorithm} works with a `secret`, not with public keys")),
            (true, true) | (false, false) if known.contains(&algorithm) => {
                problems.push(place, format!("{algorithm} is listed twice"));
            }
            (true, true) | (false, false) => known.push(algorithm),
        }
    }
    known
}

fn audiences(written: Written<Vec<At<String>>>, asked: bool, own: &Issuer, problems: &mut Problems) -> Audiences {
    let Some(At { value, .. }) = written.given() else {
        return if asked { Audiences::Any } else { Audiences::OneOf(vec![own.audience.clone()]) };
    };
    for At { place, value } in value.iter().filter(|at| at.value.is_empty()) {
        problems.push(*place, format!("{} is no audience", show(value)));
    }
    Audiences::OneOf(value.into_iter().map(|at| at.value).collect())
}

fn skew(written: Written<Duration>, own: &Issuer, problems: &mut Problems) -> u64 {
    let range = Duration::ZERO..=Duration::from_secs(300);
    within(written, own.clock_skew, range, "`clock_skew` must be 0s to 300s", problems).as_secs()
}

fn longest_life(written: Written<Duration>, problems: &mut Problems) -> u64 {
    let range = Duration::from_secs(1)..=DAY * 30;
    within(written, DAY, range, "`max_lifetime` must be 1s to 30d", problems).as_secs()
}

fn ceiling(written: Written<Vec<At<String>>>, scopes: &Scopes, problems: &mut Problems) -> Option<ScopeSet> {
    let At { value: names, .. } = written.given()?;
    for name in &names {
        scopes.refuse_unknown(name, problems);
    }
    Some(scopes.catalogue.granted(names.iter().map(|name| name.value.as_str())))
}

fn claim_names(raw: raw::Claims, problems: &mut Problems) -> ClaimNames {
    let raw::Claims { customer, client, scope, application_id } = raw;
    let default = ClaimNames::default();
    ClaimNames {
        customer: claim(customer, problems).unwrap_or(default.customer),
        client: claim(client, problems).or(default.client),
        scope: claim(scope, problems).or(default.scope),
        application: claim(application_id, problems).unwrap_or(default.application),
    }
}

fn claim(written: Written<String>, problems: &mut Problems) -> Option<String> {
    let At { place, value } = written.given()?;
    if value.is_empty() || value.len() > 256 || value.chars().any(char::is_control) {
        problems.push(place, "a claim's name must be 1 to 256 printable characters");
    }
    Some(value)
}

/// What only entries have that ask other servers.
struct Remote {
    ca: Written<String>,
    refresh: Written<Duration>,
    stale: Written<Duration>,
}

fn check_source(
    source: WrittenSource,
    issuer: Option<&At<String>>,
    algorithms: &[JwsAlgorithm],
    remote: Remote,
    context: &Context,
    problems: &mut Problems,
) -> Option<TrustedKeys> {
    let surroundings = context.surroundings;
    let Remote { ca, refresh, stale } = remote;
    let authorities = check_authorities(ca, source.is_remote(), surroundings, problems);
    let followed = matches!(source, WrittenSource::KeySet(_) | WrittenSource::Discovery(_));
    let schedule = Schedule::check(refresh, stale, followed, !source.is_remote(), problems);
    let keys = |place| RemoteKeys {
        place,
        algorithms: algorithms.to_vec(),
        refresh: schedule.refresh,
        stale: schedule.stale,
        authorities: authorities.clone(),
    };
    Some(match source {
        WrittenSource::KeySet(at) => TrustedKeys::Followed(keys(key_set(&at, algorithms, surroundings, problems)?)),
        WrittenSource::Discovery(place) => {
            let url = issuer.and_then(|issuer| server_url("issuer", &issuer.value, issuer.place, problems));
            if url.as_ref().is_some_and(|url| url.query().is_some() || url.fragment().is_some()) {
                problems.push(place, "an issuer with a query or fragment has no metadata (RFC 8414 section 2)");
            }
            TrustedKeys::Followed(keys(KeySetPlace::Discovered(url?)))
        }
        WrittenSource::Pem(files) => TrustedKeys::Fixed(pem_keys(&files.value, algorithms, surroundings, problems)),
        WrittenSource::Secret(at) => shared_secret(&at, algorithms, surroundings, problems)?,
        WrittenSource::Introspection(at) => {
            TrustedKeys::Asked(introspection::check(at.value, authorities, surroundings, problems)?)
        }
    })
}

struct Schedule {
    refresh: Duration,
    stale: Duration,
}

impl Schedule {
    fn check(
        refresh: Written<Duration>,
        stale: Written<Duration>,
        followed: bool,
        local: bool,
        problems: &mut Problems,
    ) -> Self {
        for (key, written) in [("refresh", &refresh), ("stale", &stale)] {
            if let (Written::Is(at), false) = (written, followed) {
                problems.push(at.place, format!("`{key}` has a meaning beside `key_set` and `discovery` only"));
            }
        }
        let default = if local { Duration::from_secs(2) } else { Duration::from_secs(300) };
        let range = Duration::from_secs(1)..=DAY;
        let refresh = within(refresh, default, range, "`refresh` must be 1s to 24h", problems);
        let range = Duration::from_secs(1)..=DAY * 30;
        let stale = within(stale, DAY, range, "`stale` must be 1s to 30d", problems);
        Self { refresh, stale }
    }
}

fn key_set(
    written: &At<String>,
    algorithms: &[JwsAlgorithm],
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<KeySetPlace> {
    let At { place, value } = written;
    let Some(path) = value.strip_prefix("file:") else {
        return server_url("key_set", value, *place, problems).map(KeySetPlace::Url);
    };
    let path = surroundings.folder.join(path);
    let set = read(&SecretSource::File(path.clone()), *place, problems)?;
    // Without algorithms there is a problem already, and every set would be another one.
    if let (Err(error), false) = (parse_key_set(&set, algorithms), algorithms.is_empty()) {
        problems.push(*place, format!("the key set is refused: {error}"));
    }
    Some(KeySetPlace::File(path))
}

/// A server that decides who is let in: over TLS, unless it is on this machine.
pub(super) fn server_url(key: &str, text: &str, place: Place, problems: &mut Problems) -> Option<Url> {
    let local = |url: &Url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    };
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" || (url.scheme() == "http" && local(url)));
    let Some(url) = url else {
        let also = if key == "key_set" { ", or `file:PATH`" } else { "" };
        problems.push(place, format!("`{key}` must be an https URL (http only on loopback){also}"));
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        problems.push(place, format!("`{key}` must not hold a user name or password"));
        return None;
    }
    Some(url)
}

fn pem_keys(
    files: &[At<String>],
    algorithms: &[JwsAlgorithm],
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Vec<VerifyingKey> {
    let mut keys = Vec::new();
    for At { place, value } in files {
        let Some(path) = value.strip_prefix("file:") else {
            problems.push(*place, "`pem` is `file:PATH`");
            continue;
        };
        let Some(text) = read(&SecretSource::File(surroundings.folder.join(path)), *place, problems) else { continue };
        match parse_pem(&text, algorithms) {
            Ok(found) => keys.extend(found),
            Err(error) if !algorithms.is_empty() => problems.push(*place, format!("the keys are refused: {error}")),
            Err(_) => {}
        }
    }
    keys
}

/// A secret in a file is tried already, so that a short one is told with its line. One in the environment need not be
/// there for a command that only looks at the store.
fn shared_secret(
    written: &At<String>,
    algorithms: &[JwsAlgorithm],
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<TrustedKeys> {
    let source = store::secret("secret", written, surroundings, problems)?;
    if let SecretSource::File(_) = &source {
        let secret = read(&source, written.place, problems)?;
        for error in algorithms.iter().filter_map(|algorithm| VerifyingKey::shared(*algorithm, &secret).err()) {
            problems.push(written.place, format!("the secret {error}"));
        }
    }
    Some(TrustedKeys::Shared(source, algorithms.to_vec()))
}

fn check_authorities(
    written: Written<String>,
    remote: bool,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<Vec<u8>> {
    let At { place, value } = written.given()?;
    if !remote {
        problems.push(place, "`ca` has a meaning only where a server is asked");
    }
    let Some(path) = value.strip_prefix("file:") else {
        problems.push(place, "`ca` is `file:PATH`");
        return None;
    };
    let pem = read(&SecretSource::File(surroundings.folder.join(path)), place, problems)?;
    if !super::is_certificates(&pem) {
        problems.push(place, "`ca` names a file without certificates in PEM");
    }
    Some(pem)
}

/// What a file holds; the content is told to nobody.
pub(super) fn read(source: &SecretSource, place: Place, problems: &mut Problems) -> Option<Vec<u8>> {
    source.read().map_err(|error| problems.push(place, error.to_string())).ok()
}

const DAY: Duration = Duration::from_secs(86_400);
/// Each is looked through for every token seen for the first time.
const MOST_ENTRIES: usize = 64;
