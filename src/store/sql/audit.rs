use super::engine::{Connection, Row};
use crate::{
    domain::Timestamp,
    store::{Act, Actor, AuditFilter, AuditRow, StoreError},
};

/// The newest acts that `filter` asks for, newest first.
pub(super) async fn rows(
    connection: &mut Connection,
    filter: &AuditFilter,
    limit: u32,
) -> Result<Vec<AuditRow>, StoreError> {
    let AuditFilter { actor, act, subject, from, to } = filter;
    // No act has an empty actor or name, and nobody asks for acts on nothing: empty stands for any.
    let sql = "SELECT number, at, actor, origin, act, subject FROM audit \
               WHERE ($1 = '' OR actor = $1) AND ($2 = '' OR act = $2) AND ($3 = '' OR subject = $3) \
               AND at >= $4 AND at < $5 ORDER BY number DESC LIMIT $6";
    let values = [
        actor.as_deref().unwrap_or_default().into(),
        act.map_or("", Act::name).into(),
        subject.as_deref().unwrap_or_default().into(),
        from.unwrap_or(Timestamp::from_seconds(0)).into(),
        to.unwrap_or(Timestamp::from_seconds(u64::MAX)).into(),
        i64::from(limit).into(),
    ];
    connection.rows(sql, &values).await?.iter().map(row).collect()
}

fn row(row: &Row) -> Result<AuditRow, StoreError> {
    let act = row.text("act")?;
    Ok(AuditRow {
        number: row.integer("number")?,
        at: row.moment("at")?,
        actor: Actor { name: row.text("actor")?.to_owned(), origin: row.text("origin")?.to_owned() },
        act: Act::from_name(act).ok_or_else(|| StoreError::Corrupt(format!("the act {act:?}")))?,
        subject: row.text("subject")?.to_owned(),
    })
}
