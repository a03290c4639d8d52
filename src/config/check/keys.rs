//! Where the keys of another issuer come from. Files are read here, so that one that is missing or no key is told with its
//! line.

use std::time::Duration;

use super::{
    Surroundings,
    bounds::within,
    introspection,
    outbound::{self, server_url},
    store,
    trust::{Context, DAY},
};
use crate::{
    config::{
        KeySetPlace, RemoteKeys, SecretSource, Transport, TrustedKeys,
        cursor::{At, Written},
        problem::{Place, Problems},
        raw,
    },
    token::{JwsAlgorithm, VerifyingKey, parse_key_set, parse_pem},
};

/// Where an entry's keys come from, as written.
pub(super) enum WrittenSource {
    KeySet(At<String>),
    Discovery(Place),
    Pem(At<Vec<At<String>>>),
    Secret(At<String>),
    Introspection(Box<At<raw::Introspection>>),
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

pub(super) fn one_source(
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
        introspection.given().map(|at| WrittenSource::Introspection(Box::new(at))),
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

/// What only entries have that ask other servers.
pub(super) struct Remote {
    pub(super) ca: Written<String>,
    pub(super) proxy: Written<String>,
    pub(super) insecure_http: Written<bool>,
    pub(super) refresh: Written<Duration>,
    pub(super) stale: Written<Duration>,
}

pub(super) fn check_source(
    source: WrittenSource,
    issuer: Option<&At<String>>,
    algorithms: &[JwsAlgorithm],
    remote: Remote,
    context: &Context,
    problems: &mut Problems,
) -> Option<TrustedKeys> {
    let surroundings = context.surroundings;
    let Remote { ca, proxy, insecure_http, refresh, stale } = remote;
    let way = outbound::check(ca, proxy, insecure_http, source.is_remote(), surroundings, problems);
    let followed = matches!(source, WrittenSource::KeySet(_) | WrittenSource::Discovery(_));
    let schedule = Schedule::check(refresh, stale, followed, !source.is_remote(), problems);
    let keys = |place| RemoteKeys {
        place,
        algorithms: algorithms.to_vec(),
        refresh: schedule.refresh,
        stale: schedule.stale,
        way: way.clone(),
    };
    Some(match source {
        WrittenSource::KeySet(at) => {
            TrustedKeys::Followed(keys(key_set(&at, algorithms, way.transport, surroundings, problems)?))
        }
        WrittenSource::Discovery(place) => {
            let url = issuer.and_then(|issuer| server_url("issuer", issuer, way.transport, problems));
            if url.as_ref().is_some_and(|url| url.query().is_some() || url.fragment().is_some()) {
                problems.push(place, "an issuer with a query or fragment has no metadata (RFC 8414 section 2)");
            }
            TrustedKeys::Followed(keys(KeySetPlace::Discovered(url?)))
        }
        WrittenSource::Pem(files) => TrustedKeys::Fixed(pem_keys(&files.value, algorithms, surroundings, problems)),
        WrittenSource::Secret(at) => shared_secret(&at, algorithms, surroundings, problems)?,
        WrittenSource::Introspection(at) => {
            TrustedKeys::Asked(introspection::check(at.value, way, surroundings, problems)?)
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
    transport: Transport,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<KeySetPlace> {
    let At { place, value } = written;
    let Some(path) = value.strip_prefix("file:") else {
        return server_url("key_set", written, transport, problems).map(KeySetPlace::Url);
    };
    let path = surroundings.folder.join(path);
    let set = read(&SecretSource::File(path.clone()), *place, problems)?;
    // Without algorithms there is a problem already, and every set would be another one.
    if let (Err(error), false) = (parse_key_set(&set, algorithms), algorithms.is_empty()) {
        problems.push(*place, format!("the key set is refused: {error}"));
    }
    Some(KeySetPlace::File(path))
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

/// What a file holds; the content is told to nobody.
pub(super) fn read(source: &SecretSource, place: Place, problems: &mut Problems) -> Option<Vec<u8>> {
    source.read().map_err(|error| problems.push(place, error.to_string())).ok()
}
