use super::engine::{Connection, Row};
use crate::{
    domain::{ClientId, CustomerId, Timestamp, TokenId},
    store::{Holder, LONGEST_LIFE, RevocationNumber, RevokedHolder, RevokedToken, StoreError},
};

/// Revokes one token. One that was revoked before gets a new number, so that every reader learns of the later end.
pub(super) async fn add_token(connection: &mut Connection, id: &TokenId, until: Timestamp) -> Result<(), StoreError> {
    let known = connection.row("SELECT until FROM revoked_tokens WHERE id = $1", &[id.as_str().into()]).await?;
    let known = known.map(|row| row.moment("until")).transpose()?;
    if known.is_some() {
        connection.execute("DELETE FROM revoked_tokens WHERE id = $1", &[id.as_str().into()]).await?;
    }
    let until = known.map_or(until, |known| known.max(until));
    let sql = "INSERT INTO revoked_tokens (id, until) VALUES ($1, $2)";
    connection.execute(sql, &[id.as_str().into(), until.into()]).await?;
    Ok(())
}

/// Single tokens in the order in which they were revoked.
pub(super) async fn tokens(
    connection: &mut Connection,
    after: RevocationNumber,
    now: Timestamp,
    most: u32,
) -> Result<Vec<RevokedToken>, StoreError> {
    let sql = "SELECT number, id, until FROM revoked_tokens WHERE number > $1 AND until > $2 ORDER BY number LIMIT $3";
    let rows = connection.rows(sql, &[after.0.into(), now.into(), i64::from(most).into()]).await?;
    rows.iter().map(token).collect()
}

/// Revokes what was issued to `holder` so far.
///
/// Tokens count whole seconds by the clock of whoever issued them, which may be a little ahead: one second more is
/// revoked. And a token that follows a revocation is dated after it, so that the next one must reach beyond.
pub(super) async fn add_holder(connection: &mut Connection, holder: &Holder, now: Timestamp) -> Result<(), StoreError> {
    let follows = last_of_kin(connection, holder).await?.map_or(now, |last| last.plus(1));
    let up_to = follows.max(now.plus(CLOCKS_APART));
    let sql = "INSERT INTO revoked_holders (kind, id, up_to, until) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (kind, id) DO UPDATE SET up_to = excluded.up_to, until = excluded.until";
    let values = [holder.kind().into(), holder.id().into(), up_to.into(), now.plus(LONGEST_LIFE).into()];
    connection.execute(sql, &values).await?;
    Ok(())
}

/// The latest second up to which tokens were revoked that `holder` concerns: of a client those of its customer, too, and
/// of a customer those of its clients.
async fn last_of_kin(connection: &mut Connection, holder: &Holder) -> Result<Option<Timestamp>, StoreError> {
    let sql = match holder {
        Holder::Client(_) => {
            "SELECT up_to FROM revoked_holders WHERE (kind = 'client' AND id = $1) \
             OR (kind = 'customer' AND id IN (SELECT customer FROM clients WHERE id = $1)) ORDER BY up_to DESC LIMIT 1"
        }
        Holder::Customer(_) => {
            "SELECT up_to FROM revoked_holders WHERE (kind = 'customer' AND id = $1) \
             OR (kind = 'client' AND id IN (SELECT id FROM clients WHERE customer = $1)) ORDER BY up_to DESC LIMIT 1"
        }
    };
    connection.row(sql, &[holder.id().into()]).await?.map(|row| row.moment("up_to")).transpose()
}

/// Whose tokens were revoked, as far as one of them can still be valid.
pub(super) async fn holders(connection: &mut Connection, now: Timestamp) -> Result<Vec<RevokedHolder>, StoreError> {
    let sql = "SELECT kind, id, up_to FROM revoked_holders WHERE until > $1";
    connection.rows(sql, &[now.into()]).await?.iter().map(holder).collect()
}

/// Deletes what concerns expired tokens only, at most [`BATCH`] single tokens of it. True if there may be more.
pub(super) async fn purge(connection: &mut Connection, now: Timestamp) -> Result<bool, StoreError> {
    connection.execute("DELETE FROM revoked_holders WHERE until <= $1", &[now.into()]).await?;
    let sql = "DELETE FROM revoked_tokens WHERE number IN \
               (SELECT number FROM revoked_tokens WHERE until <= $1 ORDER BY until LIMIT $2)";
    let deleted = connection.execute(sql, &[now.into(), BATCH.into()]).await?;
    Ok(i64::try_from(deleted).is_ok_and(|deleted| deleted >= BATCH))
}

fn token(row: &Row) -> Result<RevokedToken, StoreError> {
    let number = RevocationNumber(row.integer("number")?);
    let id = TokenId::parse(row.text("id")?);
    let id = id.map_err(|_| StoreError::Corrupt(format!("the ID of revocation {}", number.0)))?;
    Ok(RevokedToken { number, id, until: row.moment("until")? })
}

fn holder(row: &Row) -> Result<RevokedHolder, StoreError> {
    let (kind, id) = (row.text("kind")?, row.text("id")?);
    let corrupt = || StoreError::Corrupt(format!("the revocation of {kind} {id:?}"));
    let holder = match kind {
        "client" => Holder::Client(ClientId::parse(id).map_err(|_| corrupt())?),
        "customer" => Holder::Customer(CustomerId::parse(id).map_err(|_| corrupt())?),
        _ => return Err(corrupt()),
    };
    Ok(RevokedHolder { holder, up_to: row.moment("up_to")? })
}

/// Seconds that synchronised clocks are never apart.
const CLOCKS_APART: u64 = 1;

/// So many rows are deleted at once: few enough that other changes need not wait long.
const BATCH: i64 = 5_000;
