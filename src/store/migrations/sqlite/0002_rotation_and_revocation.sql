-- Readers of a change ask only for what it touched.
ALTER TABLE revision ADD COLUMN clients INTEGER NOT NULL DEFAULT 0;
ALTER TABLE revision ADD COLUMN keys INTEGER NOT NULL DEFAULT 0;
ALTER TABLE revision ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0;

ALTER TABLE clients ADD COLUMN introspects TEXT NOT NULL DEFAULT 'own' CHECK (introspects IN ('own', 'all'));

-- An imported secret is kept as the UTF-8 of its argon2id PHC string.
CREATE TABLE secrets (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    client TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('keyed', 'argon2id')),
    hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER, -- NULL: never
    last_used_at INTEGER -- NULL: not yet
) STRICT;
INSERT INTO secrets (client, kind, hash, created_at, expires_at)
SELECT client, 'keyed', hash, created_at, expires_at FROM client_secrets ORDER BY number;
DROP TABLE client_secrets;
CREATE INDEX secrets_by_client ON secrets (client);

ALTER TABLE signing_keys ADD COLUMN current_since INTEGER; -- NULL: never was
UPDATE signing_keys SET current_since = created_at WHERE state <> 'next';

-- Revoked until `until`, when the token has expired by itself. Readers ask for numbers above the last they saw.
CREATE TABLE revoked_tokens (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, -- jti
    until INTEGER NOT NULL
) STRICT;
CREATE INDEX revoked_tokens_by_end ON revoked_tokens (until);

-- Tokens of this client or customer that were issued up to and including second `up_to` are revoked.
CREATE TABLE revoked_holders (
    kind TEXT NOT NULL CHECK (kind IN ('client', 'customer')),
    id TEXT NOT NULL,
    up_to INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;

ALTER TABLE audit ADD COLUMN origin TEXT NOT NULL DEFAULT '';
