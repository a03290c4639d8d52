use super::{
    engine::{Connection, Row},
    secrets,
};
use crate::{
    domain::{ClientId, CustomerId, ScopeName},
    store::{Client, ClientState, Introspects, Secret, StoreError},
};

/// Every client, oldest first.
pub(super) async fn all(connection: &mut Connection) -> Result<Vec<Client>, StoreError> {
    let mut secrets = secrets::all(connection).await?;
    let rows = connection.rows(ALL, &[]).await?;
    rows.iter().map(|row| client(row, secrets.remove(row.text("id")?).unwrap_or_default())).collect()
}

pub(super) async fn one(connection: &mut Connection, id: &ClientId) -> Result<Client, StoreError> {
    let row = connection.row(ONE, &[id.as_str().into()]).await?;
    let row = row.ok_or_else(|| StoreError::NoSuchClient(id.clone()))?;
    client(&row, secrets::of(connection, id).await?)
}

pub(super) async fn add(connection: &mut Connection, client: &Client) -> Result<(), StoreError> {
    if exists(connection, &client.id).await? {
        return Err(StoreError::ClientExists(client.id.clone()));
    }
    let scopes = client.scopes.iter().map(ScopeName::as_str).collect::<Vec<_>>().join(" ");
    let redirect_urls = serde_json::to_string(&client.redirect_urls).expect("a list of texts is JSON");
    let sql = "INSERT INTO clients (id, customer, name, scopes, redirect_urls, state, introspects, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = [
        client.id.as_str().into(),
        client.customer.as_str().into(),
        client.name.as_str().into(),
        scopes.as_str().into(),
        redirect_urls.as_str().into(),
        client.state.name().into(),
        client.introspects.name().into(),
        client.created_at.into(),
    ];
    connection.execute(sql, &values).await?;
    Ok(())
}

pub(super) async fn set_state(
    connection: &mut Connection,
    id: &ClientId,
    state: ClientState,
) -> Result<(), StoreError> {
    let sql = "UPDATE clients SET state = $1 WHERE id = $2";
    one_row(id, connection.execute(sql, &[state.name().into(), id.as_str().into()]).await?)
}

/// The secrets go with the client (`ON DELETE CASCADE`).
pub(super) async fn remove(connection: &mut Connection, id: &ClientId) -> Result<(), StoreError> {
    one_row(id, connection.execute("DELETE FROM clients WHERE id = $1", &[id.as_str().into()]).await?)
}

pub(super) async fn require(connection: &mut Connection, id: &ClientId) -> Result<(), StoreError> {
    one_row(id, u64::from(exists(connection, id).await?))
}

async fn exists(connection: &mut Connection, id: &ClientId) -> Result<bool, StoreError> {
    Ok(connection.row("SELECT number FROM clients WHERE id = $1", &[id.as_str().into()]).await?.is_some())
}

fn one_row(id: &ClientId, rows: u64) -> Result<(), StoreError> {
    if rows == 0 {
        return Err(StoreError::NoSuchClient(id.clone()));
    }
    Ok(())
}

fn client(row: &Row, secrets: Vec<Secret>) -> Result<Client, StoreError> {
    let text = |column| row.text(column);
    let scopes: Result<_, _> = text("scopes")?.split_ascii_whitespace().map(ScopeName::parse).collect();
    Ok(Client {
        id: ClientId::parse(text("id")?).map_err(|_| corrupt(row, "id"))?,
        customer: CustomerId::parse(text("customer")?).map_err(|_| corrupt(row, "customer"))?,
        name: text("name")?.to_owned(),
        scopes: scopes.map_err(|_| corrupt(row, "scopes"))?,
        redirect_urls: serde_json::from_str(text("redirect_urls")?).map_err(|_| corrupt(row, "redirect_urls"))?,
        state: ClientState::from_name(text("state")?).ok_or_else(|| corrupt(row, "state"))?,
        introspects: Introspects::from_name(text("introspects")?).ok_or_else(|| corrupt(row, "introspects"))?,
        secrets,
        created_at: row.moment("created_at")?,
    })
}

fn corrupt(row: &Row, column: &str) -> StoreError {
    StoreError::Corrupt(format!("the {column} of client {:?}", row.text("id").unwrap_or_default()))
}

// Columns are named wherever rows are read: a migration by another process must not change what a statement yields.
const ALL: &str = "SELECT id, customer, name, scopes, redirect_urls, state, introspects, created_at \
                   FROM clients ORDER BY number";
const ONE: &str = "SELECT id, customer, name, scopes, redirect_urls, state, introspects, created_at \
                   FROM clients WHERE id = $1";
