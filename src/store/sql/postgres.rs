use std::{fmt, future::pending, str::FromStr, time::Duration};

use sqlx::{
    Executor, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};

use crate::store::StoreError;

/// A PostgreSQL database, as a `postgres://` URL names it. What the URL leaves out comes from the environment
/// (`PGHOST`, `PGUSER`, `PGPASSWORD`…) and the password file, as for PostgreSQL's own programs.
#[derive(Clone)]
pub struct PostgresAddress(Box<PgConnectOptions>);

/// The text is no `postgres://` URL. It is not told: it can hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the URL of a PostgreSQL database (`postgres://USER@HOST:PORT/DATABASE`)")]
pub struct PostgresAddressError;

impl PostgresAddress {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, PostgresAddressError> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(PostgresAddressError);
        }
        PgConnectOptions::from_str(text).map(|options| Self(Box::new(options))).map_err(|_| PostgresAddressError)
    }

    pub(super) async fn connect(&self) -> Result<PgPool, StoreError> {
        // A statement that hangs on a lock must not keep the next one from being tried; one that reads all of many
        // clients may take its time.
        let limits = async |connection: &mut PgConnection| {
            connection
                .execute("SET statement_timeout = '10s'; SET lock_timeout = '2s'; SET client_min_messages = 'warning'")
                .await
                .map(|_| ())
        };
        let pool = PgPoolOptions::new()
            .max_connections(MOST_CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| Box::pin(limits(connection)));
        Ok(pool.connect_with(self.options().application_name("scopegate")).await?)
    }

    fn options(&self) -> PgConnectOptions {
        (*self.0).clone()
    }

    pub(super) fn notifications(&self) -> Source {
        Source::Notifications(Box::new(self.options().application_name("scopegate listen")))
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresAddress(…)")
    }
}

/// Brings the schema up to date. Nodes take turns until their transactions end; sqlx's own lock ends before that.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    connection.execute("SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '60s'").await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MIGRATION_LOCK).execute(&mut *connection).await?;
    Ok(MIGRATIONS.run_direct(None, connection, false).await?)
}

/// Yields a row if a migration was ever made.
pub(super) const FIND_MIGRATIONS: &str = "SELECT 1 WHERE to_regclass('_sqlx_migrations') IS NOT NULL";

pub(super) fn newest_migration() -> Option<i64> {
    MIGRATIONS.iter().map(|migration| migration.version).max()
}

/// How one hears of changes that others made.
#[derive(Clone)]
pub(super) enum Source {
    /// One does not, and looks.
    Poll,
    /// By `NOTIFY scopegate`, which every change sends as it commits.
    Notifications(Box<PgConnectOptions>),
}

/// Waits for changes of the store: for PostgreSQL's word where there is one, and never longer than a fraction of a second.
pub struct Changes {
    source: Source,
    listener: Option<PgListener>,
}

impl Changes {
    pub(super) const fn new(source: Source) -> Self {
        Self { source, listener: None }
    }

    /// Returns when something may have changed. A notification can be lost, with its connection for example, so this
    /// returns without one, too.
    pub async fn next(&mut self) {
        let pause = match self.source {
            Source::Poll => POLL_EVERY,
            Source::Notifications(_) => POLL_BESIDE_NOTIFICATIONS_EVERY,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.notified() => {}
        }
    }

    async fn notified(&mut self) {
        let Source::Notifications(options) = &self.source else { return pending().await };
        let Some(listener) = &mut self.listener else {
            match listen(options).await {
                // What changed before somebody listened was not heard.
                Ok(listener) => self.listener = Some(listener),
                Err(_) => pending().await,
            }
            return;
        };
        let Ok(Some(_)) = listener.try_recv().await else {
            self.listener = None;
            return pending().await;
        };
        // Several changes are read as one.
        while listener.next_buffered().is_some() {}
    }
}

async fn listen(options: &PgConnectOptions) -> Result<PgListener, sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen("scopegate").await?;
    Ok(listener)
}

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/postgres");

/// Any number that no other program on the database uses.
const MIGRATION_LOCK: i64 = 0x7363_6f70_6567_6174;

/// Connections of one process: reading, changing, and two to spare.
const MOST_CONNECTIONS: u32 = 4;

/// How long a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a store is looked at that does not tell: a change takes effect within a second.
const POLL_EVERY: Duration = Duration::from_millis(250);

/// How often one is looked at that does, in case its word was lost.
const POLL_BESIDE_NOTIFICATIONS_EVERY: Duration = Duration::from_millis(500);
