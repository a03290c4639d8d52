use std::collections::HashMap;

use super::engine::{Connection, Row};
use crate::{
    domain::{Argon2idHash, ClientId, SecretHash, SecretVerifier, Timestamp},
    store::{MOST_SECRETS, NewSecret, Predecessor, Secret, SecretNumber, StoreError},
};

/// Every secret by its client, oldest first.
pub(super) async fn all(connection: &mut Connection) -> Result<HashMap<String, Vec<Secret>>, StoreError> {
    by_client(&connection.rows(ALL, &[]).await?)
}

/// The secrets of one client, oldest first.
pub(super) async fn of(connection: &mut Connection, client: &ClientId) -> Result<Vec<Secret>, StoreError> {
    let rows = connection.rows(OF_CLIENT, &[client.as_str().into()]).await?;
    rows.iter().map(secret).collect()
}

pub(super) async fn add(
    connection: &mut Connection,
    client: &ClientId,
    secret: &NewSecret,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (kind, hash) = match &secret.verifier {
        SecretVerifier::Keyed(hash) => (KEYED, hash.as_bytes().as_slice()),
        SecretVerifier::Argon2id(hash) => (ARGON2ID, hash.as_str().as_bytes()),
    };
    let sql = "INSERT INTO secrets (client, kind, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)";
    let values = [client.as_str().into(), kind.into(), hash.into(), now.into(), secret.expires_at.into()];
    connection.execute(sql, &values).await?;
    Ok(())
}

/// Makes room for a new secret.
pub(super) async fn end(
    connection: &mut Connection,
    client: &ClientId,
    predecessor: Predecessor,
    now: Timestamp,
) -> Result<(), StoreError> {
    let secrets = of(connection, client).await?;
    let live: Vec<_> = secrets.iter().filter(|secret| secret.is_live(now)).map(|secret| secret.number).collect();
    let kept = match predecessor {
        Predecessor::Ends => 0,
        Predecessor::CountsUntil(_) => MOST_SECRETS - 1,
    };
    let ended = secrets.iter().filter(|secret| !live.iter().rev().take(kept).any(|number| *number == secret.number));
    for secret in ended {
        connection.execute("DELETE FROM secrets WHERE number = $1", &[secret.number.0.into()]).await?;
    }
    if let Predecessor::CountsUntil(end) = predecessor {
        let sql = "UPDATE secrets SET expires_at = $1 WHERE client = $2 AND (expires_at IS NULL OR expires_at > $1)";
        connection.execute(sql, &[end.into(), client.as_str().into()]).await?;
    }
    Ok(())
}

/// The later of two notes stays: nodes write theirs in any order.
pub(super) async fn note_use(
    connection: &mut Connection,
    number: SecretNumber,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE secrets SET last_used_at = $1 WHERE number = $2 AND (last_used_at IS NULL OR last_used_at < $1)";
    connection.execute(sql, &[at.into(), number.0.into()]).await?;
    Ok(())
}

/// Deletes secrets that no longer count.
pub(super) async fn purge(connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
    connection.execute("DELETE FROM secrets WHERE expires_at <= $1", &[now.into()]).await?;
    Ok(())
}

fn by_client(rows: &[Row]) -> Result<HashMap<String, Vec<Secret>>, StoreError> {
    let mut secrets: HashMap<String, Vec<Secret>> = HashMap::new();
    for row in rows {
        secrets.entry(row.text("client")?.to_owned()).or_default().push(secret(row)?);
    }
    Ok(secrets)
}

fn secret(row: &Row) -> Result<Secret, StoreError> {
    let corrupt = || StoreError::Corrupt(format!("a secret of client {:?}", row.text("client").unwrap_or_default()));
    let hash = row.bytes("hash")?;
    let verifier = match row.text("kind")? {
        KEYED => SecretVerifier::Keyed(SecretHash::from_bytes(hash.try_into().map_err(|_| corrupt())?)),
        ARGON2ID => {
            let text = std::str::from_utf8(hash).map_err(|_| corrupt())?;
            SecretVerifier::Argon2id(Argon2idHash::parse(text).map_err(|_| corrupt())?)
        }
        _ => return Err(corrupt()),
    };
    Ok(Secret {
        number: SecretNumber(row.integer("number")?),
        verifier,
        created_at: row.moment("created_at")?,
        expires_at: row.moment_if_any("expires_at")?,
        last_used_at: row.moment_if_any("last_used_at")?,
    })
}

const ALL: &str =
    "SELECT number, client, kind, hash, created_at, expires_at, last_used_at FROM secrets ORDER BY number";
const OF_CLIENT: &str = "SELECT number, client, kind, hash, created_at, expires_at, last_used_at \
                         FROM secrets WHERE client = $1 ORDER BY number";

const KEYED: &str = "keyed";
const ARGON2ID: &str = "argon2id";
