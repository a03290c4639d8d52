-- Times are whole seconds since 1970-01-01T00:00:00Z. What is `sealed` is AES-256-GCM under the key-encryption key.

-- Every change locks this row first, so that changes happen one after the other and numbers appear in their order.
CREATE TABLE revision (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    number BIGINT NOT NULL,
    -- Readers of a change ask only for what it touched.
    clients BIGINT NOT NULL,
    keys BIGINT NOT NULL,
    tokens BIGINT NOT NULL
);
INSERT INTO revision (one, number, clients, keys, tokens) VALUES (1, 0, 0, 0, 0);

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    sealed BYTEA NOT NULL
);

CREATE TABLE clients (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    customer TEXT NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL, -- separated by spaces
    redirect_urls TEXT NOT NULL, -- a JSON list
    state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled')),
    introspects TEXT NOT NULL CHECK (introspects IN ('own', 'all')),
    created_at BIGINT NOT NULL
);

-- An imported secret is kept as the UTF-8 of its argon2id PHC string.
CREATE TABLE secrets (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('keyed', 'argon2id')),
    hash BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT, -- NULL: never
    last_used_at BIGINT -- NULL: not yet
);
CREATE INDEX secrets_by_client ON secrets (client);

CREATE TABLE signing_keys (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('next', 'current', 'retired')),
    until BIGINT CHECK ((until IS NOT NULL) = (state = 'retired')),
    created_at BIGINT NOT NULL,
    current_since BIGINT, -- NULL: never was
    sealed BYTEA NOT NULL
);
CREATE UNIQUE INDEX one_current_signing_key ON signing_keys (state) WHERE state = 'current';
CREATE UNIQUE INDEX one_next_signing_key ON signing_keys (state) WHERE state = 'next';

-- Revoked until `until`, when the token has expired by itself. Readers ask for numbers above the last they saw.
CREATE TABLE revoked_tokens (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE, -- jti
    until BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_by_end ON revoked_tokens (until);

-- Tokens of this client or customer that were issued up to and including second `up_to` are revoked.
CREATE TABLE revoked_holders (
    kind TEXT NOT NULL CHECK (kind IN ('client', 'customer')),
    id TEXT NOT NULL,
    up_to BIGINT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE TABLE audit (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    origin TEXT NOT NULL,
    act TEXT NOT NULL,
    subject TEXT NOT NULL
);
CREATE FUNCTION scopegate_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;
CREATE TRIGGER audit_rows_do_not_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION scopegate_audit_is_append_only();
