use std::collections::HashMap;

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{seconds, timestamp};
use crate::{
    domain::{ClientId, CustomerId, ScopeName, SecretHash, Timestamp},
    store::{Client, ClientState, StoreError},
};

/// Every client, oldest first, with the secrets that expire after `now` or never.
pub(super) async fn all(connection: &mut SqliteConnection, now: Timestamp) -> Result<Vec<Client>, StoreError> {
    let mut secrets = secrets(connection, now).await?;
    let rows = sqlx::query("SELECT * FROM clients ORDER BY number").fetch_all(connection).await?;
    let mut clients = Vec::with_capacity(rows.len());
    for row in &rows {
        let live = secrets.remove(row.try_get::<&str, _>("id")?).unwrap_or_default();
        clients.push(client(row, live)?);
    }
    Ok(clients)
}

pub(super) async fn add(connection: &mut SqliteConnection, client: &Client) -> Result<(), StoreError> {
    if exists(connection, &client.id).await? {
        return Err(StoreError::ClientExists(client.id.clone()));
    }
    let scopes: Vec<&str> = client.scopes.iter().map(ScopeName::as_str).collect();
    let redirect_urls = serde_json::to_string(&client.redirect_urls).expect("a list of texts is JSON");
    sqlx::query(
        "INSERT INTO clients (id, customer, name, scopes, redirect_urls, state, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(client.id.as_str())
    .bind(client.customer.as_str())
    .bind(&client.name)
    .bind(scopes.join(" "))
    .bind(redirect_urls)
    .bind(client.state.name())
    .bind(seconds(client.created_at))
    .execute(&mut *connection)
    .await?;
    for secret in &client.secrets {
        add_secret(connection, &client.id, secret, client.created_at).await?;
    }
    Ok(())
}

pub(super) async fn replace_secret(
    connection: &mut SqliteConnection,
    id: &ClientId,
    secret: &SecretHash,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM client_secrets WHERE client = ?").bind(id.as_str()).execute(&mut *connection).await?;
    add_secret(connection, id, secret, now).await
}

pub(super) async fn set_state(
    connection: &mut SqliteConnection,
    id: &ClientId,
    state: ClientState,
) -> Result<(), StoreError> {
    let update = sqlx::query("UPDATE clients SET state = ? WHERE id = ?").bind(state.name()).bind(id.as_str());
    one_row(id, update.execute(connection).await?.rows_affected())
}

/// The secrets go with the client (`ON DELETE CASCADE`).
pub(super) async fn remove(connection: &mut SqliteConnection, id: &ClientId) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM clients WHERE id = ?").bind(id.as_str());
    one_row(id, delete.execute(connection).await?.rows_affected())
}

pub(super) async fn require(connection: &mut SqliteConnection, id: &ClientId) -> Result<(), StoreError> {
    one_row(id, u64::from(exists(connection, id).await?))
}

async fn exists(connection: &mut SqliteConnection, id: &ClientId) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM clients WHERE id = ?";
    let count: i64 = sqlx::query_scalar(sql).bind(id.as_str()).fetch_one(connection).await?;
    Ok(count > 0)
}

fn one_row(id: &ClientId, rows: u64) -> Result<(), StoreError> {
    if rows == 0 {
        return Err(StoreError::NoSuchClient(id.clone()));
    }
    Ok(())
}

async fn add_secret(
    connection: &mut SqliteConnection,
    id: &ClientId,
    secret: &SecretHash,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO client_secrets (client, hash, created_at) VALUES (?, ?, ?)")
        .bind(id.as_str())
        .bind(secret.as_bytes().as_slice())
        .bind(seconds(now))
        .execute(connection)
        .await?;
    Ok(())
}

async fn secrets(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<HashMap<String, Vec<SecretHash>>, StoreError> {
    let sql = "SELECT client, hash FROM client_secrets WHERE expires_at IS NULL OR expires_at > ? ORDER BY number";
    let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(sql).bind(seconds(now)).fetch_all(connection).await?;
    let mut secrets: HashMap<String, Vec<SecretHash>> = HashMap::new();
    for (client, hash) in rows {
        let hash = hash.try_into().map_err(|_| StoreError::Corrupt(format!("a secret of client {client}")))?;
        secrets.entry(client).or_default().push(SecretHash::from_bytes(hash));
    }
    Ok(secrets)
}

fn client(row: &SqliteRow, secrets: Vec<SecretHash>) -> Result<Client, StoreError> {
    let text = |column| row.try_get::<&str, _>(column);
    let scopes: Result<_, _> = text("scopes")?.split_ascii_whitespace().map(ScopeName::parse).collect();
    Ok(Client {
        id: ClientId::parse(text("id")?).map_err(|_| corrupt(row, "id"))?,
        customer: CustomerId::parse(text("customer")?).map_err(|_| corrupt(row, "customer"))?,
        name: text("name")?.to_owned(),
        scopes: scopes.map_err(|_| corrupt(row, "scopes"))?,
        redirect_urls: serde_json::from_str(text("redirect_urls")?).map_err(|_| corrupt(row, "redirect_urls"))?,
        state: state(text("state")?).ok_or_else(|| corrupt(row, "state"))?,
        secrets,
        created_at: timestamp(row.try_get("created_at")?)?,
    })
}

fn state(name: &str) -> Option<ClientState> {
    [ClientState::Enabled, ClientState::Disabled].into_iter().find(|state| state.name() == name)
}

fn corrupt(row: &SqliteRow, column: &str) -> StoreError {
    StoreError::Corrupt(format!("the {column} of client {:?}", row.try_get::<&str, _>("id").unwrap_or_default()))
}
