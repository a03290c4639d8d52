//! One surface over the two drivers, so that every statement stands once. Both take `$1`, `$2`… for parameters, and
//! the statements keep to integers, texts, bytes and NULL, which mean the same to both.

use sqlx::{PgPool, Postgres, Row as _, Sqlite, SqlitePool, Transaction, postgres::PgRow, sqlite::SqliteRow};

use crate::{domain::Timestamp, store::StoreError};

/// Where the rows are.
pub(super) enum Engine {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Engine {
    /// A transaction that sees one state of the store throughout.
    pub(super) async fn read(&self) -> Result<Connection, StoreError> {
        Ok(match self {
            Self::Sqlite(pool) => Connection::Sqlite(pool.begin().await?),
            Self::Postgres(pool) => {
                Connection::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        })
    }

    /// A transaction for changes. On SQLite it takes the write lock at once: what it reads first stays true until it
    /// commits.
    pub(super) async fn write(&self) -> Result<Connection, StoreError> {
        Ok(match self {
            Self::Sqlite(pool) => Connection::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Connection::Postgres(pool.begin().await?),
        })
    }
}

/// A transaction. Dropped without [`Connection::commit`], it never happened.
pub(super) enum Connection {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// A parameter of a statement.
#[derive(Clone, Copy)]
pub(super) enum Value<'v> {
    Integer(Option<i64>),
    Text(&'v str),
    Bytes(&'v [u8]),
}

/// Binds `$values` in their order, whatever the driver.
macro_rules! bound {
    ($sql:expr, $values:expr) => {
        $values.iter().fold(sqlx::query($sql), |query, value| match *value {
            Value::Integer(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Bytes(bytes) => query.bind(bytes),
        })
    };
}

impl Connection {
    /// Runs a statement and tells how many rows it changed.
    pub(super) async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => bound!(sql, values).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => bound!(sql, values).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// The rows that a statement yields.
    pub(super) async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => bound!(sql, values).fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect(),
            Self::Postgres(tx) => {
                bound!(sql, values).fetch_all(&mut **tx).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row that a statement yields, if it yields any.
    pub(super) async fn row(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        let done = match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        };
        Ok(done?)
    }
}

/// One row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! column {
    ($row:expr, $column:expr) => {
        match $row {
            Row::Sqlite(row) => row.try_get($column)?,
            Row::Postgres(row) => row.try_get($column)?,
        }
    };
}

impl Row {
    pub(super) fn integer(&self, column: &str) -> Result<i64, StoreError> {
        Ok(column!(self, column))
    }

    pub(super) fn text(&self, column: &str) -> Result<&str, StoreError> {
        Ok(column!(self, column))
    }

    pub(super) fn bytes(&self, column: &str) -> Result<&[u8], StoreError> {
        Ok(column!(self, column))
    }

    pub(super) fn moment(&self, column: &str) -> Result<Timestamp, StoreError> {
        timestamp(self.integer(column)?)
    }

    /// A moment that may be NULL.
    pub(super) fn moment_if_any(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        let seconds: Option<i64> = column!(self, column);
        seconds.map(timestamp).transpose()
    }
}

fn timestamp(seconds: i64) -> Result<Timestamp, StoreError> {
    let seconds = u64::try_from(seconds).map_err(|_| StoreError::Corrupt(format!("the time {seconds}")))?;
    Ok(Timestamp::from_seconds(seconds))
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Timestamp> for Value<'_> {
    /// Integers of the store are signed; a time beyond them is as good as the last one.
    fn from(moment: Timestamp) -> Self {
        Self::Integer(Some(i64::try_from(moment.seconds()).unwrap_or(i64::MAX)))
    }
}

impl From<Option<Timestamp>> for Value<'_> {
    fn from(moment: Option<Timestamp>) -> Self {
        moment.map_or(Self::Integer(None), Self::from)
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(text)
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
