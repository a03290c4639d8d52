use tokio::task;

use super::{
    change::Change,
    engine::{Connection, Row},
};
use crate::{
    domain::{KeyId, Timestamp},
    store::{
        Act, KeyPlan, KeyState, Sealing, StoreError, StoredKey,
        rotation::{KeyFacts, Step},
        seal::Place,
    },
    token::{Algorithm, PrivateKey},
};

/// Every key, the one made last first.
pub(super) async fn all(connection: &mut Connection, sealing: &Sealing) -> Result<Vec<StoredKey>, StoreError> {
    rows(connection).await?.iter().map(|row| stored_key(row, sealing)).collect()
}

/// What [`crate::store::rotation`] needs to know of every key.
pub(super) async fn facts(connection: &mut Connection) -> Result<Vec<KeyFacts>, StoreError> {
    rows(connection).await?.iter().map(key_facts).collect()
}

/// Does one step of a plan and records it.
pub(super) async fn carry_out(
    change: &mut Change<'_>,
    step: Step,
    plan: KeyPlan,
    sealing: &Sealing,
) -> Result<(), StoreError> {
    match step {
        Step::Remove(id) => {
            change.tx.execute("DELETE FROM signing_keys WHERE id = $1", &[id.as_str().into()]).await?;
            change.record(Act::KeyRemoved, id.as_str()).await
        }
        Step::Retire(id, until) => {
            let sql = "UPDATE signing_keys SET state = 'retired', until = $1 WHERE id = $2";
            change.tx.execute(sql, &[until.into(), id.as_str().into()]).await?;
            change.record(Act::KeyRetired, id.as_str()).await
        }
        Step::Promote(id) => {
            let sql = "UPDATE signing_keys SET state = 'current', current_since = $1 WHERE id = $2";
            change.tx.execute(sql, &[change.at.into(), id.as_str().into()]).await?;
            change.record(Act::KeyPromoted, id.as_str()).await
        }
        Step::MakeCurrent => make(change, KeyState::Current, plan.algorithm, sealing).await,
        Step::MakeNext => make(change, KeyState::Next, plan.algorithm, sealing).await,
    }
}

/// Seals every key again under the first key-encryption key.
pub(super) async fn reseal(connection: &mut Connection, sealing: &Sealing) -> Result<(), StoreError> {
    for row in rows(connection).await? {
        let KeyFacts { id, algorithm, .. } = key_facts(&row)?;
        let place = Place::SigningKey(&id, algorithm);
        let fresh = sealing.seal(place, &sealing.open(place, row.bytes("sealed")?)?);
        let sql = "UPDATE signing_keys SET sealed = $1 WHERE id = $2";
        connection.execute(sql, &[fresh.as_slice().into(), id.as_str().into()]).await?;
    }
    Ok(())
}

async fn make(
    change: &mut Change<'_>,
    state: KeyState,
    algorithm: Algorithm,
    sealing: &Sealing,
) -> Result<(), StoreError> {
    let (id, private) = generate(algorithm).await;
    let sealed = sealing.seal(Place::SigningKey(&id, algorithm), private.pkcs8());
    let current_since = (state == KeyState::Current).then_some(change.at);
    let sql = "INSERT INTO signing_keys (id, algorithm, state, created_at, current_since, sealed) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let values = [
        id.as_str().into(),
        algorithm.name().into(),
        state.name().into(),
        change.at.into(),
        current_since.into(),
        sealed.as_slice().into(),
    ];
    change.tx.execute(sql, &values).await?;
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

async fn rows(connection: &mut Connection) -> Result<Vec<Row>, StoreError> {
    let sql = "SELECT id, algorithm, state, until, created_at, current_since, sealed \
               FROM signing_keys ORDER BY number DESC";
    connection.rows(sql, &[]).await
}

fn stored_key(row: &Row, sealing: &Sealing) -> Result<StoredKey, StoreError> {
    let KeyFacts { id, algorithm, state, current_since } = key_facts(row)?;
    let pkcs8 = sealing.open(Place::SigningKey(&id, algorithm), row.bytes("sealed")?)?;
    let created_at = row.moment("created_at")?;
    Ok(StoredKey { id, state, created_at, current_since, private: PrivateKey::from_pkcs8(algorithm, pkcs8) })
}

fn key_facts(row: &Row) -> Result<KeyFacts, StoreError> {
    let id = row.text("id")?;
    let corrupt = |column| StoreError::Corrupt(format!("the {column} of key {id:?}"));
    Ok(KeyFacts {
        id: KeyId::new(id),
        algorithm: Algorithm::from_name(row.text("algorithm")?).ok_or_else(|| corrupt("algorithm"))?,
        state: state(row)?.ok_or_else(|| corrupt("state"))?,
        current_since: row.moment_if_any("current_since")?,
    })
}

fn state(row: &Row) -> Result<Option<KeyState>, StoreError> {
    let until: Option<Timestamp> = row.moment_if_any("until")?;
    Ok(match (row.text("state")?, until) {
        ("next", None) => Some(KeyState::Next),
        ("current", None) => Some(KeyState::Current),
        ("retired", Some(until)) => Some(KeyState::Retired { until }),
        _ => None,
    })
}
