use super::engine::{Connection, Row};
use crate::{
    domain::HashingKey,
    store::{Revision, Sealing, StoreError, seal::Place},
};

pub(super) async fn revision(connection: &mut Connection) -> Result<Revision, StoreError> {
    let row = connection.row("SELECT number, clients, keys, tokens FROM revision", &[]).await?;
    let row = row.ok_or_else(|| StoreError::Corrupt("the revision is missing".to_owned()))?;
    let [number, clients, keys, tokens] = ["number", "clients", "keys", "tokens"].map(|column| row.integer(column));
    Ok(Revision { number: number?, clients: clients?, keys: keys?, tokens: tokens? })
}

pub(super) async fn hashing_key(connection: &mut Connection, sealing: &Sealing) -> Result<HashingKey, StoreError> {
    let sealed = sealed(connection, HASHING_KEY).await?;
    let sealed = sealed.ok_or_else(|| StoreError::Corrupt("the hashing key is missing".to_owned()))?;
    let bytes = sealing.open(Place::HashingKey, &sealed)?;
    let bytes = bytes.try_into().map_err(|_| StoreError::Corrupt("the hashing key has another length".to_owned()))?;
    Ok(HashingKey::from_bytes(bytes))
}

/// Whether the store has its first values; an error if `sealing` is not what they were sealed with.
pub(super) async fn is_made(connection: &mut Connection, sealing: &Sealing) -> Result<bool, StoreError> {
    let Some(marker) = sealed(connection, MARKER).await? else { return Ok(false) };
    sealing.open(Place::Marker, &marker)?;
    Ok(true)
}

/// Puts the first values in.
pub(super) async fn make(connection: &mut Connection, sealing: &Sealing) -> Result<(), StoreError> {
    let sql = "INSERT INTO settings (name, sealed) VALUES ($1, $2)";
    let marker = sealing.seal(Place::Marker, MARKER.as_bytes());
    connection.execute(sql, &[MARKER.into(), marker.as_slice().into()]).await?;
    let hashing_key = sealing.seal(Place::HashingKey, HashingKey::generate().as_bytes());
    connection.execute(sql, &[HASHING_KEY.into(), hashing_key.as_slice().into()]).await?;
    Ok(())
}

/// Seals what stands here again under the first key-encryption key.
pub(super) async fn reseal(connection: &mut Connection, sealing: &Sealing) -> Result<(), StoreError> {
    for (name, place) in [(MARKER, Place::Marker), (HASHING_KEY, Place::HashingKey)] {
        let Some(old) = sealed(connection, name).await? else { continue };
        let fresh = sealing.seal(place, &sealing.open(place, &old)?);
        let sql = "UPDATE settings SET sealed = $1 WHERE name = $2";
        connection.execute(sql, &[fresh.as_slice().into(), name.into()]).await?;
    }
    Ok(())
}

async fn sealed(connection: &mut Connection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let row = connection.row("SELECT sealed FROM settings WHERE name = $1", &[name.into()]).await?;
    row.as_ref().map(|row: &Row| row.bytes("sealed").map(<[u8]>::to_vec)).transpose()
}

const MARKER: &str = "marker";
const HASHING_KEY: &str = "hashing_key";
