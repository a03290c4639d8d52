use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use tokio::task;

use super::{change::Change, seconds, timestamp};
use crate::{
    domain::{KeyId, Timestamp},
    store::{
        Act, KeyEncryptionKey, KeyPlan, KeyState, StoreError, StoredKey,
        rotation::{KeyFacts, Step},
        seal::Place,
    },
    token::{Algorithm, PrivateKey},
};

/// Every key, the one made last first.
pub(super) async fn all(
    connection: &mut SqliteConnection,
    sealing: &KeyEncryptionKey,
) -> Result<Vec<StoredKey>, StoreError> {
    rows(connection).await?.iter().map(|row| stored_key(row, sealing)).collect()
}

/// What [`crate::store::rotation`] needs to know of every key.
pub(super) async fn facts(connection: &mut SqliteConnection) -> Result<Vec<KeyFacts>, StoreError> {
    rows(connection).await?.iter().map(key_facts).collect()
}

/// Does one step of a plan and records it.
pub(super) async fn carry_out(
    change: &mut Change<'_>,
    step: Step,
    plan: KeyPlan,
    sealing: &KeyEncryptionKey,
) -> Result<(), StoreError> {
    match step {
        Step::Remove(id) => {
            sqlx::query("DELETE FROM signing_keys WHERE id = ?").bind(id.as_str()).execute(&mut *change.tx).await?;
            change.record(Act::KeyRemoved, id.as_str()).await
        }
        Step::Retire(id, until) => {
            set_state(&mut change.tx, &id, KeyState::Retired { until }).await?;
            change.record(Act::KeyRetired, id.as_str()).await
        }
        Step::Promote(id) => {
            set_state(&mut change.tx, &id, KeyState::Current).await?;
            change.record(Act::KeyPromoted, id.as_str()).await
        }
        Step::MakeCurrent => make(change, KeyState::Current, plan.algorithm, sealing).await,
        Step::MakeNext => make(change, KeyState::Next, plan.algorithm, sealing).await,
    }
}

async fn make(
    change: &mut Change<'_>,
    state: KeyState,
    algorithm: Algorithm,
    sealing: &KeyEncryptionKey,
) -> Result<(), StoreError> {
    let (id, private) = generate(algorithm).await;
    sqlx::query("INSERT INTO signing_keys (id, algorithm, state, created_at, sealed) VALUES (?, ?, ?, ?, ?)")
        .bind(id.as_str())
        .bind(algorithm.name())
        .bind(state.name())
        .bind(seconds(change.at))
        .bind(sealing.seal(Place::SigningKey(&id, algorithm), private.pkcs8()))
        .execute(&mut *change.tx)
        .await?;
    change.record(Act::KeyMade, id.as_str()).await
}

/// An RSA key takes long enough to make that other tasks should not wait for it.
async fn generate(algorithm: Algorithm) -> (KeyId, PrivateKey) {
    let made = task::spawn_blocking(move || {
        let private = PrivateKey::generate(algorithm);
        (private.id().expect("a key just made can be read"), private)
    });
    made.await.expect("making a key does not panic")
}

async fn set_state(connection: &mut SqliteConnection, id: &KeyId, state: KeyState) -> Result<(), StoreError> {
    sqlx::query("UPDATE signing_keys SET state = ?, until = ? WHERE id = ?")
        .bind(state.name())
        .bind(end(state).map(seconds))
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

fn end(state: KeyState) -> Option<Timestamp> {
    match state {
        KeyState::Retired { until } => Some(until),
        KeyState::Next | KeyState::Current => None,
    }
}

async fn rows(connection: &mut SqliteConnection) -> Result<Vec<SqliteRow>, StoreError> {
    Ok(sqlx::query("SELECT * FROM signing_keys ORDER BY number DESC").fetch_all(connection).await?)
}

fn stored_key(row: &SqliteRow, sealing: &KeyEncryptionKey) -> Result<StoredKey, StoreError> {
    let KeyFacts { id, algorithm, state } = key_facts(row)?;
    let pkcs8 = sealing.open(Place::SigningKey(&id, algorithm), row.try_get("sealed")?)?;
    let created_at = timestamp(row.try_get("created_at")?)?;
    Ok(StoredKey { id, state, created_at, private: PrivateKey::from_pkcs8(algorithm, pkcs8) })
}

fn key_facts(row: &SqliteRow) -> Result<KeyFacts, StoreError> {
    let id: &str = row.try_get("id")?;
    let corrupt = |column| StoreError::Corrupt(format!("the {column} of key {id:?}"));
    Ok(KeyFacts {
        id: KeyId::parse(id).map_err(|_| corrupt("id"))?,
        algorithm: Algorithm::from_name(row.try_get("algorithm")?).ok_or_else(|| corrupt("algorithm"))?,
        state: match (row.try_get("state")?, row.try_get::<Option<i64>, _>("until")?) {
            ("next", None) => KeyState::Next,
            ("current", None) => KeyState::Current,
            ("retired", Some(until)) => KeyState::Retired { until: timestamp(until)? },
            _ => return Err(corrupt("state")),
        },
    })
}
